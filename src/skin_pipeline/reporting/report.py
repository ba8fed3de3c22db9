"""One self-contained HTML page a run: what became of the training, how good its pictures are, their origin.

Nothing is fetched. The same inputs give the same page, byte by byte, but for the history of the workspace,
which names runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from markupsafe import Markup
from PIL import Image
from pydantic import Field

from skin_pipeline.evaluation.held_out_floor import Floor, groups_of, small_legends, warning_of
from skin_pipeline.evaluation.metrics import METRICS
from skin_pipeline.evaluation.readers import READER_TITLES
from skin_pipeline.evaluation.sets import GENERATED
from skin_pipeline.evaluation.summarise import SKIPPED
from skin_pipeline.evaluation.verdict import judge_training
from skin_pipeline.items import Folder, Item, Items
from skin_pipeline.lineage.history import History
from skin_pipeline.lineage.trace import DatasetOrigin, WeightsOrigin, describe_dataset, describe_weights
from skin_pipeline.lineage.tracking import Tracking
from skin_pipeline.lineage.workspace import Workspace
from skin_pipeline.pages import page_environment, webp_uri
from skin_pipeline.prep.publish import SPLITS, Row
from skin_pipeline.reporting.figures import as_svg, plot_scores, plot_training
from skin_pipeline.schemas import Parameters

_TEMPLATE = "report.html.jinja2"
_DIGITS = 12
_RANKED = ("edge_f1", "key_iou", "ned_ppocr", "nearest_distance")
"""Metrics whose worst and best pictures are shown, as far as they were taken."""


class ReportParameters(Parameters):
    """How a run's report shows what it shows."""

    title: str = "What became of this run"
    """Heading of the page."""
    max_pictures: Annotated[int, Field(ge=0)] = 24
    """The most generated pictures in the grid; the gallery has them all."""
    num_extremes: Annotated[int, Field(ge=1)] = 4
    """So many of the worst and of the best pictures are shown for each metric."""
    max_raw_files: Annotated[int, Field(ge=0)] = 300
    """The most raw files listed; ``kedro lineage --json`` lists all."""
    picture_side_px: Annotated[int, Field(ge=64)] = 360
    """Longest side of an embedded picture, pixels."""
    picture_quality: Annotated[int, Field(ge=1, le=100)] = 82
    """WebP quality of embedded pictures."""
    data_folder: str
    """The data folder, whose history says which run made what; absolute."""


@dataclass(frozen=True)
class ReportSources:
    """What a report is made of."""

    generated_skins: Items
    train_dataset: Folder
    controlnet_weights: Folder
    screened_skins: Items
    training_metrics: Sequence[Mapping[str, Any]]
    evaluation_scores: Mapping[str, Mapping[str, Any]]
    evaluation_items: Items
    legend_floor: Floor


@dataclass(frozen=True)
class Shown:
    """A generated picture on the page."""

    anchor: str
    item: str
    uri: str
    seed: int
    prompt: str
    facts: tuple[tuple[str, str], ...]
    weights: str
    is_in_grid: bool
    """Whether the page shows it among the pictures, too."""
    value: str = ""
    """Of the metric that it is ranked by."""


@dataclass(frozen=True)
class Group:
    """The pictures of one conditioning image."""

    skin: str
    control_uri: str | None
    real_uri: str | None
    pictures: tuple[Shown, ...]


@dataclass(frozen=True)
class Ranking:
    """The worst and the best pictures by one metric."""

    title: str
    note: str
    worst: tuple[Shown, ...]
    best: tuple[Shown, ...]


def render_report(sources: ReportSources, parameters: ReportParameters) -> str:
    """Render the page.

    Args:
        sources: Outputs of one run.
        parameters: How to show them.

    Returns:
        HTML.
    """
    page = _Page(sources, parameters)
    weights, datasets = _origins(sources, History(Path(parameters.data_folder)))
    verdict = judge_training([row for row in sources.training_metrics if row["kind"] == "validation"])
    template = page_environment(Path(__file__).parent).get_template(_TEMPLATE)
    return template.render(
        title=parameters.title,
        verdict=verdict,
        summary=list(_summary(sources, weights, datasets)),
        training_plot=_plot(plot_training(sources.training_metrics), "losses", "Losses by step"),
        validations=_validations(sources.training_metrics),
        scores_plot=_plot(plot_scores(sources.evaluation_scores), "intervals", "Scores by system"),
        systems=[system for system in sources.evaluation_scores if system != SKIPPED],
        score_rows=list(_score_rows(sources.evaluation_scores)),
        skipped=sources.evaluation_scores.get(SKIPPED, {}),
        floor=sources.legend_floor,
        floor_readers=[READER_TITLES[name] for name in sources.legend_floor.get("readers", ())],
        floor_rows=list(_floor_rows(sources.legend_floor)),
        floor_warnings=list(_floor_warnings(sources.legend_floor)),
        rankings=list(page.rankings()),
        groups=page.groups(),
        num_pictures=len(sources.generated_skins),
        weights=weights,
        datasets=datasets,
        max_raw_files=parameters.max_raw_files,
    )


def _plot(figure: Any, name: str, label: str) -> Markup:
    """Return a plot as it stands in the page; the table beside it has the same figures."""
    return Markup(as_svg(figure, name, label))  # noqa: S704 - our own drawing, its text escaped


class _Page:
    """Prepares pictures: each is encoded once, however often it is shown."""

    def __init__(self, sources: ReportSources, parameters: ReportParameters) -> None:
        self._sources = sources
        self._parameters = parameters
        self._uris: dict[str, str] = {}
        self._rows = _rows(sources.train_dataset)
        self._grid = list(sources.generated_skins.values())[: parameters.max_pictures]
        self._in_grid = {item.id for item in self._grid}

    def groups(self) -> list[Group]:
        """Return the first pictures, by conditioning image."""
        by_skin: dict[str, list[Item]] = {}
        for item in self._grid:
            by_skin.setdefault(str(item.record["conditioning"]), []).append(item)
        return [self._group(skin, group) for skin, group in by_skin.items()]

    def _group(self, skin: str, items: Iterable[Item]) -> Group:
        row = self._rows.get(skin)
        return Group(
            skin=skin,
            control_uri=self._stored(row.conditioning_image) if row else None,
            real_uri=self._stored(row.image) if row else None,
            pictures=tuple(self._shown(item) for item in items),
        )

    def rankings(self) -> Iterator[Ranking]:
        """Yield the worst and best pictures by each metric that tells pictures apart."""
        measured = {
            item_id.removeprefix(f"{GENERATED}/"): item.record
            for item_id, item in self._sources.evaluation_items.items()
            if item.record["system"] == GENERATED
        }
        for name in _RANKED:
            metric = METRICS[name]
            field = metric.field or name
            ranked = sorted(
                (float(record[field]), item_id)
                for item_id, record in measured.items()
                if record.get(field) is not None and item_id in self._sources.generated_skins
            )
            if not ranked or ranked[0][0] == ranked[-1][0]:
                continue
            if metric.is_higher_better is False:
                ranked.reverse()
            count = min(self._parameters.num_extremes, max(1, len(ranked) // 2))
            lowest, highest = ranked[:count], ranked[: -count - 1 : -1]
            is_near = metric.is_higher_better is None
            note = "nearest to a training picture first" if is_near else f"range {metric.range}"
            yield Ranking(metric.title, note, self._extremes(lowest), self._extremes(highest))

    def _extremes(self, ranked: Iterable[tuple[float, str]]) -> tuple[Shown, ...]:
        generated = self._sources.generated_skins
        return tuple(self._shown(generated[item_id], f"{value:.3f}") for value, item_id in ranked)

    def _shown(self, item: Item, value: str = "") -> Shown:
        record = item.record
        if item.id not in self._uris:
            self._uris[item.id] = self._encode(item.load_image())
        return Shown(
            anchor=f"picture-{item.sha256[:_DIGITS]}",
            item=item.id,
            uri=self._uris[item.id],
            seed=int(record["seed"]),
            prompt=str(record["prompt"]),
            facts=(
                ("Picture", item.id),
                ("sha256", item.sha256),
                ("Conditioning image", f"{record['conditioning']}, sha256 {record['conditioning_sha256']}"),
                ("Base model", f"{record['base_model']}, digest {record['base_model_digest']}"),
                *_settings(record["settings"]),
            ),
            weights=str(record["weights_digest"]),
            is_in_grid=item.id in self._in_grid,
            value=value,
        )

    def _stored(self, name: str) -> str:
        with Image.open(self._sources.train_dataset.path / name) as picture:
            return self._encode(np.asarray(picture.convert("RGB")))

    def _encode(self, picture: np.ndarray) -> str:
        return webp_uri(picture, self._parameters.picture_side_px, self._parameters.picture_quality)


# --- facts ----------------------------------------------------------------------------------------------


def _rows(dataset: Folder) -> dict[str, Row]:
    """Return the training set's rows by skin."""
    found = {}
    for split in SPLITS:
        path = dataset.path / f"{split}.jsonl"
        if path.is_file():
            rows = (Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())
            found.update({row.skin: row for row in rows})
    return found


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in sorted(settings.items()):
        if value is not None:
            yield name.replace("_", " ").capitalize(), str(value)


def _summary(
    sources: ReportSources, weights: Sequence[WeightsOrigin], datasets: Sequence[DatasetOrigin]
) -> Iterator[tuple[str, str]]:
    yield "Pictures", str(len(sources.generated_skins))
    yield "Weights", ", ".join(one.digest[:_DIGITS] for one in weights)
    yield "Steps", ", ".join("unknown" if one.step is None else str(one.step) for one in weights)
    yield "Training set", ", ".join(one.digest[:_DIGITS] for one in datasets)
    yield "Skins", ", ".join(f"{one.num_train} + {one.num_validation} held out" for one in datasets)


def _validations(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the held-out losses as a table for those who do not see the curves."""
    found = [row for row in rows if row.get("validation_loss") is not None]
    return [
        (
            str(row["step"]),
            f"{row['validation_loss']:.5f}",
            "–" if row.get("learnt_loss") is None else f"{row['learnt_loss']:.5f}",
            "–" if row.get("drawn_edge_f1") is None else f"{row['drawn_edge_f1']:.3f}",
        )
        for row in found
    ]


def _score_rows(
    scores: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str, list[tuple[str, str]], str]]:
    """Yield title, which way is better, estimate and interval of each system, and what to mind."""
    systems = [system for system in scores if system != SKIPPED]
    for name, metric in METRICS.items():
        found = [scores[system].get(name) for system in systems]
        if not any(found):
            continue
        way = {True: "higher", False: "lower", None: "as real"}[metric.is_higher_better]
        notes = dict.fromkeys(score["note"] for score in found if score and "note" in score)
        yield metric.title, way, [_cell(score) for score in found], " ".join(notes)


def _cell(score: Mapping[str, Any] | None) -> tuple[str, str]:
    if score is None:
        return "–", ""
    digits = 3 if abs(score["estimate"]) < 10 else 1
    interval = f"{score['low']:.{digits}f} to {score['high']:.{digits}f}, n = {score['num_skins']}"
    return f"{score['estimate']:.{digits}f}", interval


def _floor_rows(floor: Floor) -> Iterator[tuple[str, str, int, list[tuple[str, str]]]]:
    """Yield script, height, number of legends, and Sen.ACC and NED of each reader with their intervals."""
    for script, height, figures in groups_of(floor) if "readers" in floor else ():
        cells = [_change(group, prefix) for group in figures.values() for prefix in ("", "ned_")]
        yield script, height, next(iter(figures.values()))["num_legends"], cells


def _change(group: Mapping[str, Any], prefix: str) -> tuple[str, str]:
    before, after, low, high = (
        f"{group[prefix + name]:.2f}" for name in ("before", "after", "after_low", "after_high")
    )
    return f"{before} → {after}", f"{low} to {high}"


def _floor_warnings(floor: Floor) -> Iterator[str]:
    for name, summary in floor.get("readers", {}).items():
        small = small_legends(summary)
        if small:
            yield f"{warning_of(name, small)}."


def _origins(sources: ReportSources, history: History) -> tuple[list[WeightsOrigin], list[DatasetOrigin]]:
    """Return all weights that made a picture here, the published ones first, and their training sets."""
    datasets = {
        "train_dataset": sources.train_dataset,
        "controlnet_weights": sources.controlnet_weights,
        "screened_skins": sources.screened_skins,
    }
    workspace = Workspace(datasets.get, (), None, history, Tracking(None))
    used = {str(item.record["weights_digest"]): None for item in sources.generated_skins.values()}
    first = [digest for digest in used if digest == sources.controlnet_weights.digest]
    weights = [describe_weights(workspace, digest) for digest in dict.fromkeys([*first, *used])]
    digests = dict.fromkeys(one.dataset_digest for one in weights if one.dataset_digest is not None)
    return weights, [describe_dataset(workspace, digest) for digest in digests]
