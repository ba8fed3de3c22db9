"""Scores as a table that people read, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skin_pipeline.evaluation.metrics import METRICS, Metric
from skin_pipeline.evaluation.sets import GENERATED, by_system
from skin_pipeline.evaluation.summarise import SKIPPED
from skin_pipeline.items import Items

Scores = Mapping[str, Mapping[str, Any]]


def render_table(scores: Scores, measured: Items) -> str:
    """Write scores, worst and best pictures, and what was left out.

    Args:
        scores: Of :func:`skin_pipeline.evaluation.summarise.summarise`.
        measured: The pictures' records.
    """
    systems = [system for system in scores if system != SKIPPED]
    sizes = ", ".join(f"{name} {len(items)}" for name, items in by_system(measured).items())
    lines = ["# Evaluation of generated skins", "", f"Pictures: {sizes}.", ""]
    lines += [f"| metric | better | {' | '.join(systems)} |", "|---" * (len(systems) + 2) + "|"]
    lines += _rows(scores, systems)
    lines += ["", "In brackets: bootstrap interval over n skins.", ""]
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
