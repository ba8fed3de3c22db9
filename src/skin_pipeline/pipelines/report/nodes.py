"""Nodes of the report pipeline."""

from typing import Any

from skin_pipeline.reporting.figures import plot_scores, plot_training
from skin_pipeline.reporting.report import ReportParameters, ReportSources, render_report


def draw_training_curves(training_metrics: list[dict[str, Any]]) -> Any:
    """Return a figure of the training's losses, as in the report."""
    return plot_training(training_metrics, is_stacked=True)


def draw_score_intervals(evaluation_scores: dict[str, dict[str, Any]]) -> Any:
    """Return a figure of the scores with their intervals, as in the report."""
    return plot_scores(evaluation_scores)


def write_report(parameters: ReportParameters, **shown: Any) -> str:
    """Write the report of a run.

    Args:
        parameters: How to show it.
        **shown: What a run left, by the names of :class:`skin_pipeline.reporting.report.ReportSources`.

    Returns:
        One self-contained HTML page.
    """
    return render_report(ReportSources(**shown), parameters)
