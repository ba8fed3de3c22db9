"""Put finished experiments side by side."""

from skin_pipeline.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
