"""Judge generated skins, and whatever they are compared with."""

from skin_pipeline.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
