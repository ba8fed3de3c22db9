"""Scores as a table that people read, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skin_pipeline.evaluation.held_out_floor import Floor, groups_of, small_legends, warning_of
from skin_pipeline.evaluation.metrics import METRICS, Metric
from skin_pipeline.evaluation.readers import READER_TITLES
from skin_pipeline.evaluation.sets import GENERATED, by_system
from skin_pipeline.evaluation.summarise import SKIPPED
from skin_pipeline.items import Items

Scores = Mapping[str, Mapping[str, Any]]


def render_table(scores: Scores, measured: Items, floor: Floor) -> str:
    """Write scores, the floor of legends, worst and best pictures, and what was left out.

    Args:
        scores: Of :func:`skin_pipeline.evaluation.summarise.summarise`.
        measured: The pictures' records.
        floor: Of :func:`skin_pipeline.evaluation.held_out_floor.summarise_floor`.
    """
    systems = [system for system in scores if system != SKIPPED]
    sizes = ", ".join(f"{name} {len(items)}" for name, items in by_system(measured).items())
    lines = ["# Evaluation of generated skins", "", f"Pictures: {sizes}.", ""]
    lines += [f"| metric | better | {' | '.join(systems)} |", "|---" * (len(systems) + 2) + "|"]
    lines += _rows(scores, systems)
    lines += ["", "In brackets: bootstrap interval over n skins.", ""]
    lines += [*_floor(floor), ""]
    lines += ["## Worst and best generated pictures", "", "| metric | worst | best |", "|---|---|---|"]
    lines += _extremes(measured)
    lines += _listed("Mind", _notes(scores, systems))
    lines += _listed("Left out", [f"`{metric}`: {reason}" for metric, reason in scores[SKIPPED].items()])
    return "\n".join(lines) + "\n"


def _rows(scores: Scores, systems: Sequence[str]) -> Iterator[str]:
    for name, metric in METRICS.items():
        row = [_cell(scores[system][name]) if name in scores[system] else "" for system in systems]
        if any(row):
            yield f"| {metric.title} (`{name}`) | {_direction(metric)} | {' | '.join(row)} |"


def _floor(floor: Floor) -> Iterator[str]:
    """Yield what the base model's autoencoder leaves of legends, by script and height."""
    yield from ("## Legends after the base model's autoencoder", "")
    if "skipped" in floor:
        yield f"Left out: {floor['skipped']}."
        return
    about = floor["about"]
    yield (
        f"Real legends of {about['num_skins']} skins of the split '{about['split']}' ({about['sizes_px']} px)"
        f" before → after encoding and decoding by '{about['base_model']}', with the interval after. No"
        " training can beat what is left."
    )
    titles = [
        f"{figure}, {READER_TITLES[name]}" for name in floor["readers"] for figure in ("Sen.ACC", "NED")
    ]
    columns = ["script", "height, px", "legends", *titles]
    yield from ("", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|")
    for script, height, figures in groups_of(floor):
        cells = [_change(group, prefix) for group in figures.values() for prefix in ("", "ned_")]
        number = next(iter(figures.values()))["num_legends"]
        yield f"| {script} | {height} | {number} | {' | '.join(cells)} |"
    for name, summary in floor["readers"].items():
        small = small_legends(summary)
        if small:
            yield from ("", f"{warning_of(name, small)}.")


def _change(group: Mapping[str, Any], prefix: str) -> str:
    before, after, low, high = (
        group[f"{prefix}{name}"] for name in ("before", "after", "after_low", "after_high")
    )
    return f"{before:.3f} → {after:.3f} [{low:.3f}, {high:.3f}]"


def _notes(scores: Scores, systems: Sequence[str]) -> list[str]:
    found = [
        f"`{metric}`: {score['note']}"
        for system in systems
        for metric, score in scores[system].items()
        if "note" in score
    ]
    return list(dict.fromkeys(found))


def _direction(metric: Metric) -> str:
    if metric.is_higher_better is None:
        return "as real"
    return "higher" if metric.is_higher_better else "lower"


def _cell(score: Mapping[str, Any]) -> str:
    digits = 3 if abs(score["estimate"]) < 10 else 1
    estimate, low, high = (f"{score[name]:.{digits}f}" for name in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}] (n={score['num_skins']})"


def _extremes(measured: Items) -> Iterator[str]:
    items = by_system(measured).get(GENERATED, [])
    for name, metric in METRICS.items():
        field = metric.field or ""
        ranked = sorted(
            (float(item.record[field]), item.id) for item in items if item.record.get(field) is not None
        )
        if not ranked or ranked[0][0] == ranked[-1][0]:
            continue
        worst, best = ranked[0], ranked[-1]
        if metric.is_higher_better is False:
            worst, best = best, worst
        yield f"| `{name}` | {worst[0]:.3f} {worst[1]} | {best[0]:.3f} {best[1]} |"


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {line}" for line in lines)] if lines else []
