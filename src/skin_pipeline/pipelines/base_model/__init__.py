"""The recipe of the embedded base model, from drawn skins to a diffusers pipeline folder."""

from skin_pipeline.pipelines.base_model.pipeline import create_pipeline

__all__ = ["create_pipeline"]
