"""Prepare raw skins as a training set for a ControlNet."""

from skin_pipeline.pipelines.data_prep.pipeline import create_pipeline

__all__ = ["create_pipeline"]
