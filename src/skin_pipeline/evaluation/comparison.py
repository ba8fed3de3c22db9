"""Runs side by side: what each did, what it came to, and what each made of the same prompt and seed.

A run here is a workspace: the data folder of one experiment, with its weights, its generated skins and, if
they were evaluated, its scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from skin_pipeline.errors import IncompleteDatasetError
from skin_pipeline.evaluation.metrics import METRICS
from skin_pipeline.evaluation.sets import GENERATED
from skin_pipeline.evaluation.verdict import judge_training
from skin_pipeline.items import Item, Items
from skin_pipeline.pages import page_environment, webp_uri
from skin_pipeline.schemas import Parameters

_TEMPLATE = "comparison.html.jinja2"
_OUTLINES = {
    "shared": "one shared image",
    "per_skin": "each skin's own edges",
    "glyph": "each with its own text rendered",
}


class CompareParameters(Parameters):
    """How runs are shown side by side."""

    title: str = "Experiments side by side"
    """Heading of the page."""
    max_rows: Annotated[int, Field(ge=1)] = 24
    """So many prompts and seeds are shown."""
    picture_side_px: Annotated[int, Field(ge=64)] = 384
    """Longest side of a shown picture, pixels; the whole one stays in its workspace."""
    picture_quality: Annotated[int, Field(ge=1, le=100)] = 85
    """Of the embedded WebP pictures."""


@dataclass(frozen=True)
class ComparedRun:
    """One workspace.

    Attributes:
        name: What it is called: its folder.
        card: The weights' training.json: parameters, step, base model, size of the training set.
        row: A row of train.jsonl, of which the kind of conditioning counts.
        generated: Generated skins with their records.
        scores: By system and metric, as :func:`skin_pipeline.evaluation.summarise.summarise` gives them;
            empty if the run was not evaluated.
        metrics: Rows of training_metrics.jsonl.
    """

    name: str
    card: Mapping[str, Any]
    row: Mapping[str, Any]
    generated: Items
    scores: Mapping[str, Mapping[str, Any]]
    metrics: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """A value of the table, and whether it is the best of its row."""

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Shown:
    """A picture on the page; none where a run has no picture of the row."""

    uri: str | None
    skin: str


def describe_run(run: ComparedRun) -> dict[str, Any]:
    """Say what a run did, in the columns of the forerunner's table and a few more.

    Args:
        run: The workspace.

    Returns:
        Type, skins, conditioning, resolution in pixels, base model, steps, pictures seen, the lowest held-out
        loss with the step where it was reached, and the verdict on the training; JSON.
    """
    parameters = run.card["parameters"]
    start = parameters["controlnet_init"]
    losses = [
        (float(row["validation_loss"]), int(row["step"])) for row in run.metrics if "validation_loss" in row
    ]
    loss, step = min(losses, default=(None, None))
    return {
        "type": "from scratch" if start is None else f"fine-tuned from {start}",
        "num_skins": run.card["dataset"]["num_train"],
        "conditioning": _conditioning(run.row),
        "resolution_px": parameters["resolution_px"],
        "base_model": run.card["base_model"]["name"],
        "steps": run.card["step"],
        "images_seen": run.card["images_seen"],
        "validation_loss": loss,
        "validation_loss_step": step,
        "verdict": judge_training([row for row in run.metrics if row.get("kind") == "validation"]).name,
    }


def compare_runs(runs: Sequence[ComparedRun]) -> dict[str, dict[str, Any]]:
    """Return what each run did and came to, as JSON.

    Args:
        runs: Workspaces with different names.

    Returns:
        By run: the fields of :func:`describe_run`, and ``scores`` by metric.

    Raises:
        IncompleteDatasetError: There are none.
    """
    if not runs:
        raise IncompleteDatasetError(
            "There are no runs to compare: no folder in the data folder holds weights and generated skins."
            " Run some experiments first (`kedro run --env=whole_keyboard`), or name their folders:"
            " --params runs=a;b."
        )
    return {run.name: {**describe_run(run), "scores": dict(run.scores.get(GENERATED, {}))} for run in runs}


def render_comparison(runs: Sequence[ComparedRun], parameters: CompareParameters) -> str:
    """Show runs side by side.

    Args:
        runs: Workspaces with different names.
        parameters: How to show them.

    Returns:
        One self-contained HTML page. Pictures stand side by side where two runs or more have one of the same
        prompt and seed.
    """
    facts = compare_runs(runs)
    rows, is_common = _picture_rows(runs, parameters)
    return (
        page_environment(Path(__file__).parent)
        .get_template(_TEMPLATE)
        .render(
            title=parameters.title,
            names=[run.name for run in runs],
            facts=list(_fact_rows(facts)),
            scores=list(_score_rows(facts)),
            rows=rows,
            is_common=is_common,
        )
    )


def _conditioning(row: Mapping[str, Any]) -> str:
    words = _OUTLINES.get(row["conditioning"], str(row["conditioning"]))
    outlines = row.get("outlines_of")
    return words if outlines is None else f"{words} ({outlines})"


def _fact_rows(facts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    titles = {
        "type": "Type",
        "num_skins": "Skins",
        "conditioning": "Conditioning",
        "resolution_px": "Resolution, px",
        "base_model": "Base model",
        "steps": "Steps",
        "images_seen": "Pictures seen",
        "validation_loss": "Lowest held-out loss",
        "validation_loss_step": "… at step",
        "verdict": "Verdict on the training",
    }
    for name, title in titles.items():
        values = [run[name] for run in facts.values()]
        yield title, [_plain(value) for value in values]


def _score_rows(facts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, list[Cell]]]:
    """Yield title, which way is better, and a cell a run for each metric that some run has."""
    for name, metric in METRICS.items():
        scores = [run["scores"].get(name) for run in facts.values()]
        known = [score["estimate"] for score in scores if score is not None]
        if not known:
            continue
        best = None
        if metric.is_higher_better is not None and len(known) > 1:
            best = max(known) if metric.is_higher_better else min(known)
        way = {True: "higher", False: "lower", None: "as real"}[metric.is_higher_better]
        yield metric.title, way, [_cell(score, best) for score in scores]


def _cell(score: Mapping[str, Any] | None, best: float | None) -> Cell:
    if score is None:
        return Cell("–")
    estimate, low, high = (float(score[name]) for name in ("estimate", "low", "high"))
    spread = f"[{low:.3g}, {high:.3g}]" if score["num_skins"] > 1 else "(one skin: no interval)"
    text = f"{estimate:.3g} {spread}"
    return Cell(text, is_best=best is not None and estimate == best)


def _plain(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _picture_rows(
    runs: Sequence[ComparedRun], parameters: CompareParameters
) -> tuple[list[tuple[str, int, list[Shown]]], bool]:
    """Choose the pictures: those that most runs have in common first."""
    by_run = [_by_request(run.generated) for run in runs]
    requests = sorted({request for pictures in by_run for request in pictures})
    common = [one for one in requests if sum(one in pictures for pictures in by_run) > 1]
    chosen = (common or requests)[: parameters.max_rows]
    rows = [
        (prompt, seed, [_shown(pictures.get((prompt, seed)), parameters) for pictures in by_run])
        for prompt, seed in chosen
    ]
    return rows, bool(common)


def _by_request(generated: Items) -> dict[tuple[str, int], Item]:
    """Return the first picture of each prompt and seed."""
    found: dict[tuple[str, int], Item] = {}
    for item in generated.values():
        found.setdefault((str(item.record["prompt"]), int(item.record["seed"])), item)
    return found


def _shown(item: Item | None, parameters: CompareParameters) -> Shown:
    if item is None:
        return Shown(None, "")
    uri = webp_uri(item.load_image(), parameters.picture_side_px, parameters.picture_quality)
    return Shown(uri, item.id.rpartition("/")[0])
