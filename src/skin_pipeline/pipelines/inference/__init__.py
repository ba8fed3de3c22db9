"""Generate skins with a trained ControlNet and show them."""

from skin_pipeline.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
