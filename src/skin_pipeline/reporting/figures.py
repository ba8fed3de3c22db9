"""Plots of a run: for the report as SVG, for kedro-viz as pictures. One drawing for both.

Colours tell lines apart on light and on dark ground alike; text and axes take the page's own colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skin_pipeline.evaluation.metrics import METRICS
from skin_pipeline.evaluation.summarise import SKIPPED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
_INK = "#70757d"
"""Of text and axes; readable on white and on black, and replaced by the page's own colour in SVG."""
_COLOURS = ("#4f72e8", "#d9822b", "#2f9e6e", "#c2528b", "#8a63d2", "#a08a1f")
_STRETCH = re.compile(r"validation_loss_t(\d+)_(\d+)")
_SMOOTHED_ROWS = 5
_SHARES = frozenset({"edges", "layout", "legends", "colours"})
"""Families of metrics between 0 and 1 that are drawn; others have scales of their own."""


def plot_training(rows: Rows, *, is_stacked: bool = False) -> Figure:
    """Plot the losses of a training: over all, and of held-out skins by stretches of the noise schedule.

    Args:
        rows: Lines of the metrics file, of the kinds ``train`` and ``validation``.
        is_stacked: Whether the two are above each other, for viewers that cut off what is wide.
    """
    figure = _figure(8, 6.4) if is_stacked else _figure(11, 3.6)
    left, right = figure.subplots(*((2, 1) if is_stacked else (1, 2)))
    train = [row for row in rows if row["kind"] == "train"]
    validation = _with(rows, "validation_loss")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    _line(left, train, "loss", "training", _COLOURS[1], is_smoothed=True)
    _line(left, validation, "validation_loss", "held out", _COLOURS[0])
    _line(
        left,
        [row for row in validation if row.get("learnt_loss") is not None],
        "learnt_loss",
        "learnt",
        _COLOURS[2],
    )
    if validation:
        best = min(validation, key=lambda row: float(row["validation_loss"]))
        left.axvline(best["step"], color=_INK, linewidth=0.8, linestyle=(0, (2, 3)))
    stretches = sorted({name for row in validation for name in row if _STRETCH.fullmatch(name)})
    for name, colour in zip(stretches, _COLOURS * len(stretches), strict=False):
        found = _STRETCH.fullmatch(name)
        assert found is not None
        label = f"timesteps {int(found[1])} to {int(found[2])}"
        _line(right, _with(validation, name), name, label, colour)
    for axes, title in ((left, "Loss"), (right, "Held-out loss by timestep")):
        _finish(axes, title, "step")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, labelcolor=_INK)
    return figure


def plot_scores(scores: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Plot those scores that lie between 0 and 1 with their intervals, a mark for each system.

    Args:
        scores: By system and metric, as :func:`skin_pipeline.evaluation.summarise.summarise` gives them.
    """
    systems = [system for system in scores if system != SKIPPED]
    shown = [
        name
        for name, metric in METRICS.items()
        if metric.family in _SHARES and any(name in scores[system] for system in systems)
    ]
    figure = _figure(11, 1.3 + 0.34 * max(1, len(shown)))
    axes = figure.subplots()
    for place, system in enumerate(systems):
        colour = _COLOURS[place % len(_COLOURS)]
        offset = 0.6 * (place - (len(systems) - 1) / 2) / max(1, len(systems))
        for row, name in enumerate(shown):
            score = scores[system].get(name)
            if score is not None:
                axes.plot(
                    [score["low"], score["high"]], [row + offset] * 2, color=colour, linewidth=1.4, alpha=0.7
                )
                axes.plot(score["estimate"], row + offset, "o", color=colour, markersize=4.5)
        axes.plot([], [], "o", color=colour, markersize=4.5, label=system.replace("_", " "))
    axes.set_yticks(range(len(shown)), [METRICS[name].title for name in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="y", color=_INK, alpha=0.15, linewidth=0.6)
    _finish(axes, "Scores with their intervals", "")
    if systems:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def as_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as SVG for a page: transparent, its text real text in the page's colour.

    Args:
        figure: What to draw.
        name: Begins all its ids, so that a page can hold several.
        label: What it shows, in words, for those who do not see it.

    Returns:
        The same bytes for the same figure.
    """
    from html import escape

    from matplotlib import rc_context

    drawn = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "skin_pipeline", "font.family": "sans-serif"}
    with rc_context(settings):  # type: ignore[arg-type]
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'font: ([^;"]*?)\'?[\w ]*\'?(?:, [^;"]*)?, sans-serif', r"font: \1sans-serif", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(label, quote=True)}">{rest}'


def _figure(width_inches: float, height_inches: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), dpi=110, layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def _with(rows: Rows, name: str) -> Rows:
    """Return the rows that have a value of that name."""
    return [row for row in rows if row.get(name) is not None]


def _line(axes: Axes, rows: Rows, name: str, label: str, colour: str, *, is_smoothed: bool = False) -> None:
    if not rows:
        return
    steps = [row["step"] for row in rows]
    values = np.array([float(row[name]) for row in rows])
    if is_smoothed:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.35)
        values = _moving_mean(values)
    axes.plot(steps, values, color=colour, linewidth=1.6, label=label, marker="" if len(rows) > 1 else "o")


def _moving_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of each value and those before it, at most so many together."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - _SMOOTHED_ROWS)
    means: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _finish(axes: Axes, title: str, xlabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel(xlabel, fontsize=8, color=_INK)
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_INK)
