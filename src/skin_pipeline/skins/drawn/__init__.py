"""Keyboard skins drawn by the package itself: designs from a seed, with true captions and legends."""

from skin_pipeline.skins.drawn.captions import NUM_VARIANTS, describe_style, vocabulary
from skin_pipeline.skins.drawn.layouts import LAYOUT_NAMES, LayoutName
from skin_pipeline.skins.drawn.palettes import Paint, SkinStyle
from skin_pipeline.skins.drawn.renderer import DrawnLegend, DrawnSkin, draw_skin

__all__ = [
    "LAYOUT_NAMES",
    "NUM_VARIANTS",
    "DrawnLegend",
    "DrawnSkin",
    "LayoutName",
    "Paint",
    "SkinStyle",
    "describe_style",
    "draw_skin",
    "vocabulary",
]
