"""The fill50k pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.fill50k.nodes import draw_circles, measure_circles


def create_pipeline() -> Pipeline:
    """Return what stands before and after training and inference when circles take the place of skins."""
    return Pipeline(
        [
            Node(draw_circles, inputs="params:fill50k", outputs="train_dataset", name="draw_circles"),
            Node(
                measure_circles,
                inputs={
                    "generated_skins": "generated_skins",
                    "train_dataset": "train_dataset",
                    "parameters": "params:fill50k",
                },
                outputs=["circle_errors", "circle_scores"],
                name="measure_circles",
            ),
        ]
    )
