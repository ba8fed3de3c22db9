"""Bring skin packages in: each becomes a sheet among the raw skins."""

from skin_pipeline.pipelines.import_packages.pipeline import create_pipeline

__all__ = ["create_pipeline"]
