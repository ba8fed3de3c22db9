"""The train pipeline: a training set in, a ControlNet out."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.train.nodes import train_controlnet


def create_pipeline() -> Pipeline:
    """Return the pipeline of one node, which runs the trainer as a program of its own."""
    return Pipeline(
        [
            Node(
                train_controlnet,
                inputs=["train_dataset", "params:train"],
                outputs=["controlnet_weights", "training_metrics"],
                name="train_controlnet",
                tags=["training"],
            )
        ]
    )
