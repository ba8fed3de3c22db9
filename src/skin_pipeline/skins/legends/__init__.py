"""Exact legends: what a model drew on keys is taken away, and the text itself is set in its style."""

from skin_pipeline.skins.legends.composite import Composited, composite_legends, refuse_missing_characters

COMPOSITING_MODULES = (
    "skin_pipeline.skins.contrast",
    "skin_pipeline.skins.legends",
    "skin_pipeline.typefaces",
)
"""Modules whose source sets legends."""

__all__ = ["COMPOSITING_MODULES", "Composited", "composite_legends", "refuse_missing_characters"]
