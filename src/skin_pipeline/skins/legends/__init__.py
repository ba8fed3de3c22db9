"""Exact legends: what a model drew on keys is taken away, and the text itself is set in its style."""

from skin_pipeline.skins.legends.composite import Composited, composite_legends, refuse_missing_characters

__all__ = ["Composited", "composite_legends", "refuse_missing_characters"]
