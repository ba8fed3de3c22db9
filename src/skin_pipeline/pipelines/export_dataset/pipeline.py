"""The export_dataset pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.export_dataset.nodes import export_dataset


def create_pipeline() -> Pipeline:
    """Return the pipeline from a published training set to its shards."""
    return Pipeline(
        [
            Node(
                export_dataset,
                inputs={"train_dataset": "train_dataset", "parameters": "params:export"},
                outputs="exported_dataset",
                name="export_dataset",
            )
        ]
    )
