"""Nodes of the report pipeline."""

from typing import Any

from skin_pipeline.items import Folder, Items
from skin_pipeline.reporting.figures import plot_scores, plot_training
from skin_pipeline.reporting.report import ReportParameters, ReportSources, render_report


def draw_training_curves(training_metrics: list[dict[str, Any]]) -> Any:
    """Return a figure of the training's losses, as in the report."""
    return plot_training(training_metrics)


def draw_score_intervals(evaluation_scores: dict[str, dict[str, Any]]) -> Any:
    """Return a figure of the scores with their intervals, as in the report."""
    return plot_scores(evaluation_scores)


def write_report(
    generated_skins: Items,
    train_dataset: Folder,
    controlnet_weights: Folder,
    screened_skins: Items,
    training_metrics: list[dict[str, Any]],
    evaluation_scores: dict[str, dict[str, Any]],
    evaluation_items: Items,
    parameters: ReportParameters,
) -> str:
    """Write the report of a run.

    Args:
        generated_skins: Pictures with their records.
        train_dataset: What the weights were trained on.
        controlnet_weights: The weights.
        screened_skins: The raw files.
        training_metrics: Losses by step.
        evaluation_scores: By system and metric.
        evaluation_items: Measures of each picture.
        parameters: How to show it.

    Returns:
        One self-contained HTML page.
    """
    sources = ReportSources(
        generated_skins,
        train_dataset,
        controlnet_weights,
        screened_skins,
        training_metrics,
        evaluation_scores,
        evaluation_items,
    )
    return render_report(sources, parameters)
