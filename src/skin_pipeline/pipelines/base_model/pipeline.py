"""The recipe of the embedded base model as a pipeline."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from skin_pipeline.pipelines.base_model.nodes import (
    assemble_base_model,
    draw_base_skins,
    fit_base_encoder,
    train_base_decoder,
    train_base_denoiser,
)


def create_pipeline(**_kwargs: Any) -> Pipeline:
    """Return the pipeline: drawings → encoder → decoder and denoiser → base model."""
    parameters = "params:base_model"
    return Pipeline(
        [
            Node(draw_base_skins, parameters, "base_drawings", name="draw_base_skins"),
            Node(fit_base_encoder, ["base_drawings", parameters], "base_encoder", name="fit_base_encoder"),
            Node(
                train_base_decoder,
                ["base_drawings", "base_encoder", parameters],
                "base_autoencoder",
                name="train_base_decoder",
            ),
            Node(
                train_base_denoiser,
                ["base_drawings", "base_encoder", parameters],
                "base_denoiser",
                name="train_base_denoiser",
            ),
            Node(
                assemble_base_model,
                ["base_autoencoder", "base_denoiser"],
                "base_model",
                name="assemble_base_model",
            ),
        ]
    )
