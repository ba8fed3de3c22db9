"""Training a ControlNet on the published training set."""

from skin_pipeline.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
