"""The picture that advertises a skin."""

import numpy as np

from skin_pipeline.skins.model import Keyboard, KeyboardKind, RgbaPixels, Skin
from skin_pipeline.skins.rendering import on_colour, render_keyboard

PREVIEW_WIDTH_PX = 720
_BEHIND = (255, 255, 255)


def main_keyboard(skin: Skin) -> Keyboard:
    """Return the keyboard that stands for a skin: upright before lying, pinyin and 26 keys before others."""
    order = list(KeyboardKind)
    boards = [board for theme in skin.themes[:1] for board in theme.keyboards] or [
        board for theme in skin.themes for board in theme.keyboards
    ]
    return min(boards, key=lambda board: (board.orientation != "portrait", order.index(board.kind)))


def preview_of(skin: Skin) -> RgbaPixels:
    """Return the skin's own preview, or else a rendering of its main keyboard on white.

    Returns:
        (H, W, 4) or (H, W, 3) uint8.
    """
    if skin.preview is not None:
        return skin.preview.pixels
    drawn = on_colour(render_keyboard(main_keyboard(skin), PREVIEW_WIDTH_PX), _BEHIND)
    return np.asarray(drawn)
