"""Sheets of keys with many legends, to learn strokes from: any letters, any of 3,755 Chinese characters.

A drawn keyboard repeats the same few legends. These sheets have a drawn skin's colours, keys and typefaces,
and strings by lot. A tenth of all Chinese characters and of all Latin strings is held out, by a rule that
needs no list (:func:`is_held_out`), so that whoever learns from the sheets can be asked for strings that no
sheet for learning ever had.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from skin_pipeline.skins.drawn.backgrounds import paint_background
from skin_pipeline.skins.drawn.keys import KeyLook, key_sprite
from skin_pipeline.skins.drawn.legends import em_for, is_chinese, write
from skin_pipeline.skins.drawn.palettes import SkinStyle, choose_style
from skin_pipeline.typefaces import CHINESE_TYPEFACES, font_path

LEGEND_WIDTH = 0.74
"""Of the widest legend, in widths of its key."""
LEAST_HEIGHT = 0.8
"""Of a legend that was made smaller to fit its key, in heights that the sheet has."""
MARGINS_PX = (3.0, 6.0)
"""Between a key and the border of its place in the grid."""
HELD_OUT_MODULUS = 10
WORDS = (
    *("Ctrl", "Tab", "Esc", "Del", "Home", "End", "Alt", "Fn", "Menu", "Back", "Send", "Go", "OK", "Next"),
    *("Done", "ABC", "DEF", "GHI", "JKL", "MNO", "PQRS", "TUV", "Find", "Undo", "Copy", "Shift", "Lock"),
    *("Zoom", "Quit", "Jump", "Wave", "Hex", "Kiwi", "Pick", "Enter", "space", "return", "Search", "wxyz"),
)
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True)
class LegendSheet:
    """A drawn sheet of keys.

    Attributes:
        seed: Which sheet.
        picture: (H, W, 3) uint8 RGB.
        style: What a caption tells.
        texts: One legend a key, N of them.
        quads: (N, 4, 2), close around the ink, in pixels.
    """

    seed: int
    picture: npt.NDArray[np.uint8]
    style: SkinStyle
    texts: tuple[str, ...]
    quads: npt.NDArray[np.float64]


def draw_legend_sheet(
    seed: int,
    size_px: tuple[int, int],
    grid: tuple[int, int],
    heights_px: tuple[float, float],
    *,
    held_out: bool = False,
    among: str | None = None,
) -> LegendSheet:
    """Draw a sheet of keys, each with a legend.

    Args:
        seed: Decides everything.
        size_px: Width and height.
        grid: Columns and rows.
        heights_px: Least and greatest height of capitals and ideographs. All legends of a sheet have one
            height, down to ``LEAST_HEIGHT`` of it where they would not fit.
        held_out: Whether its strings are those that no other sheet has.
        among: The Chinese characters to choose from; by default all that the typefaces have. A reader that
            guesses by what is common reads pairs of rare ones badly on any picture.
    """
    chinese = [one for one in among or level_one() if is_held_out(one) == held_out]
    lots = Random(f"legend sheet {seed}")  # noqa: S311  (a design, not a secret)
    style = choose_style(Random(f"style {seed}"), "26_key")  # noqa: S311
    (width, height), (columns, rows) = size_px, grid
    canvas = paint_background(Random(f"pattern {seed}"), style, width, height, 0.0)  # noqa: S311
    height_px, margin = lots.uniform(*heights_px), lots.uniform(*MARGINS_PX)
    pitch_x, pitch_y = width / columns, height / rows
    look = _key_look(style, pitch_y - 2 * margin)
    texts, quads = [], []
    for row in range(rows):
        for column in range(columns):
            left, top = round(column * pitch_x + margin), round(row * pitch_y + margin)
            right, bottom = round((column + 1) * pitch_x - margin), round((row + 1) * pitch_y - margin)
            key_sprite(look, right - left, bottom - top).lay_on(canvas, left, top)
            width_px = LEGEND_WIDTH * (right - left)
            text, em_px = _fitting(lots, style, (held_out, chinese), height_px, width_px)
            centre = ((left + right) / 2, (top + bottom) / 2)
            quads.append(write(canvas, text, _typeface(style, text), em_px, centre, style.legend.rgb))
            texts.append(text)
    corners = np.clip(np.stack(quads), 0, (width, height))
    return LegendSheet(seed, canvas, style, tuple(texts), corners)


@lru_cache(maxsize=1)
def level_one() -> str:
    """Return GB 2312's 3,755 Chinese characters of level 1, which the typefaces have."""
    codes = ((row, cell) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return "".join(bytes(code).decode("gb2312") for code in codes if code <= (0xD7, 0xF9))


def is_held_out(text: str) -> bool:
    """Tell whether a Latin string, or a Chinese character, is of the tenth that no sheet for learning has."""
    return sum(map(ord, text)) % HELD_OUT_MODULUS == 0


def random_legend(lots: Random, held_out: bool, chinese: Sequence[str]) -> str:
    """Draw one or two of some Chinese characters, a word, or up to four letters."""
    if lots.random() < 0.5:
        return "".join(lots.choices(chinese, k=lots.choice((1, 2, 2))))
    while True:
        letters = "".join(lots.choices(LETTERS, k=lots.choice((2, 3, 4))))
        text = lots.choice((letters, letters.capitalize(), letters.lower(), lots.choice(WORDS)))
        if is_held_out(text) == held_out:
            return text


def _fitting(
    lots: Random,
    style: SkinStyle,
    strings: tuple[bool, Sequence[str]],
    height_px: float,
    width_px: float,
) -> tuple[str, float]:
    """Draw a legend that is not much lower than asked for where it fits a key; return it and its em."""
    while True:
        text = random_legend(lots, *strings)
        path = _typeface(style, text)
        em_px = em_for(text, path, height_px, width_px)
        if em_px >= em_for(text, path, LEAST_HEIGHT * height_px, np.inf):
            return text, em_px


def _key_look(style: SkinStyle, height_px: float) -> KeyLook:
    """Return how the keys of a style are painted."""
    border = None if style.key_border is None else style.key_border.rgb
    return KeyLook(
        style.key_shape,
        style.key_finish,
        style.key.rgb,
        style.key_alpha,
        border,
        style.key_roundness,
        height_px,
    )


def _typeface(style: SkinStyle, text: str) -> Path:
    """Return a typeface that has the text's characters."""
    if not is_chinese(text):
        return font_path(style.latin_typeface)
    name = style.chinese_typeface
    return font_path(name if name in CHINESE_TYPEFACES else CHINESE_TYPEFACES[0])
