"""What became of a run, on one page: curves, scores, pictures and where they come from."""

from skin_pipeline.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
