"""The report pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.report import nodes

SHOWN = (
    "generated_skins", "train_dataset", "controlnet_weights", "screened_skins", "training_metrics",
    "evaluation_scores", "evaluation_items", "legend_floor",
)  # fmt: skip
"""What the report shows."""


def create_pipeline() -> Pipeline:
    """Return the pipeline from what an evaluated run left to its report and the plots in it."""
    return Pipeline(
        [
            Node(
                nodes.draw_training_curves,
                inputs={"training_metrics": "training_metrics"},
                outputs="training_curves",
                name="draw_training_curves",
            ),
            Node(
                nodes.draw_score_intervals,
                inputs={"evaluation_scores": "evaluation_scores"},
                outputs="score_intervals",
                name="draw_score_intervals",
            ),
            Node(
                nodes.write_report,
                inputs={**{name: name for name in SHOWN}, "parameters": "params:report"},
                outputs="run_report",
                name="write_report",
            ),
        ]
    )
