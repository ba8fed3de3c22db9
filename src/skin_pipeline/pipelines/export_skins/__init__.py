"""Make generated pictures into packages that a phone installs, and pages to try them on."""

from skin_pipeline.pipelines.export_skins.pipeline import create_pipeline

__all__ = ["create_pipeline"]
