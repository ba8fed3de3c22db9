"""Raw skins to start from, for those who have none of their own yet."""

from skin_pipeline.pipelines.demo_data.pipeline import create_pipeline

__all__ = ["create_pipeline"]
