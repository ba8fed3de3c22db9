"""The inference pipeline."""

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.inference.nodes import draw_control_images, generate_skins, render_gallery


def create_pipeline() -> Pipeline:
    """Return the pipeline from a trained ControlNet to generated skins and their gallery."""
    return Pipeline(
        [
            Node(
                draw_control_images,
                inputs="params:control_images",
                outputs="control_images",
                name="draw_control_images",
            ),
            Node(
                generate_skins,
                inputs={
                    "controlnet_weights": "controlnet_weights",
                    "train_dataset": "train_dataset",
                    "control_images": "control_images",
                    "parameters": "params:inference",
                },
                outputs="generated_skins",
                name="generate_skins",
            ),
            Node(
                render_gallery,
                inputs={
                    "generated_skins": "generated_skins",
                    "train_dataset": "train_dataset",
                    "control_images": "control_images",
                    "parameters": "params:gallery",
                },
                outputs="gallery",
                name="render_gallery",
            ),
        ]
    )
