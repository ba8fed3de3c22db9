"""The check of the whole method: does a ControlNet learn to draw circles where and as it is told?"""

from skin_pipeline.pipelines.fill50k.pipeline import create_pipeline

__all__ = ["create_pipeline"]
