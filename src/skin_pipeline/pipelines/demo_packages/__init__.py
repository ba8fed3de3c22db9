"""Draw skin packages, for want of real ones."""

from skin_pipeline.pipelines.demo_packages.pipeline import create_pipeline

__all__ = ["create_pipeline"]
