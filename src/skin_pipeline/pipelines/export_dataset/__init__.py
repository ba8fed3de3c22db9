"""Export a published training set as shards."""

from skin_pipeline.pipelines.export_dataset.pipeline import create_pipeline

__all__ = ["create_pipeline"]
