"""The compare pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.compare.nodes import compare_experiments


def create_pipeline() -> Pipeline:
    """Return the pipeline of one node, which reads the workspaces of finished experiments."""
    return Pipeline(
        [
            Node(
                compare_experiments,
                inputs=["compared_runs", "params:compare"],
                outputs=["comparison", "comparison_page"],
                name="compare_experiments",
            )
        ]
    )
