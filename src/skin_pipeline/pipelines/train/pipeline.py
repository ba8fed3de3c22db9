"""The train pipeline: a training set in, a ControlNet out, and what became of the training."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.train.nodes import judge_training, train_controlnet


def create_pipeline() -> Pipeline:
    """Return the pipeline that runs the trainer as a program of its own, and judges its curves."""
    return Pipeline(
        [
            Node(
                train_controlnet,
                inputs=["train_dataset", "params:train", "params:edges", "params:evaluation"],
                outputs=["controlnet_weights", "training_metrics"],
                name="train_controlnet",
                tags=["training"],
            ),
            Node(
                judge_training,
                inputs="training_metrics",
                outputs="training_verdict",
                name="judge_training",
                tags=["training"],
            ),
        ]
    )
