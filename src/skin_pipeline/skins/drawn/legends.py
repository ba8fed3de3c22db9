"""Writing on keys: sizes that fit, optical centring, crisp small text."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from skin_pipeline.colours import Rgb
from skin_pipeline.typefaces import ink_box, load_font

Canvas = npt.NDArray[np.uint8]

_SUPERSAMPLING = 3
QUAD_MARGIN = 0.06
"""Room that a legend's quad leaves around its ink, in heights of the ink."""


def is_chinese(text: str) -> bool:
    """Return whether a text has a CJK ideograph or full-width mark, and so wants a Chinese typeface."""
    return any(ord(character) >= 0x2E80 for character in text)


def _reference(text: str) -> str:
    """Return the text whose ink is centred in height in place of this one's.

    Letters of a row keep one baseline that way, whether they ascend, descend or neither.
    """
    if not any(character.isalnum() for character in text):
        return text
    if is_chinese(text):
        return "国"
    # Lower case letters sit a little low in optical balance between their body and their ascenders.
    return "x" if len(text) == 1 and text.islower() else "H"


def em_for(text: str, path: Path, height_px: float, max_width_px: float) -> float:
    """Return the em size at which capitals (or ideographs) have a height, or less if the text is too wide."""
    reference = "国" if is_chinese(text) else "H"
    _, top, _, bottom = ink_box(reference, path)
    left, _, right, _ = ink_box(text, path)
    return min(height_px / (bottom - top), max_width_px / max(right - left, 1e-6))


def write(
    canvas: Canvas, text: str, path: Path, em_px: float, centre: tuple[float, float], ink: Rgb
) -> npt.NDArray[np.float64]:
    """Write a text centred at a point, and return its quad.

    Args:
        canvas: (H, W, 3) uint8 to write on.
        text: One line.
        path: Font file.
        em_px: Size of the em square.
        centre: (x, y) in pixels.
        ink: Colour.

    Returns:
        (4, 2) corners of its ink with a small margin, TL TR BR BL.
    """
    em = max(1, round(em_px * _SUPERSAMPLING)) / _SUPERSAMPLING
    x0, y0, x1, y1 = (value * em for value in ink_box(text, path))
    _, reference_top, _, reference_bottom = ink_box(_reference(text), path)
    origin_x = centre[0] - (x0 + x1) / 2
    origin_y = centre[1] - (reference_top + reference_bottom) / 2 * em
    if _reference(text) == "x":
        # Between the centre of the body and the centre of the ascenders.
        origin_y += 0.06 * em
    _stamp(canvas, text, path, em, (origin_x, origin_y), (x0, y0, x1, y1), ink)
    margin = QUAD_MARGIN * (y1 - y0)
    left, right = origin_x + x0 - margin, origin_x + x1 + margin
    top, bottom = origin_y + y0 - margin, origin_y + y1 + margin
    return np.asarray([(left, top), (right, top), (right, bottom), (left, bottom)])


def _stamp(
    canvas: Canvas,
    text: str,
    path: Path,
    em: float,
    origin: tuple[float, float],
    box: Sequence[float],
    ink: Rgb,
) -> None:
    """Blend supersampled ink into the canvas; pixels outside of it are cut off."""
    height, width = canvas.shape[:2]
    left, top = int(origin[0] + box[0]) - 1, int(origin[1] + box[1]) - 1
    right, bottom = int(origin[0] + box[2]) + 2, int(origin[1] + box[3]) + 2
    mask = Image.new("L", ((right - left) * _SUPERSAMPLING, (bottom - top) * _SUPERSAMPLING))
    at = ((origin[0] - left) * _SUPERSAMPLING, (origin[1] - top) * _SUPERSAMPLING)
    font = load_font(path, round(em * _SUPERSAMPLING))
    ImageDraw.Draw(mask).text((round(at[0]), round(at[1])), text, fill=255, font=font, anchor="ls")
    coverage = cv2.resize(np.asarray(mask), (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    tint(
        canvas[y0:y1, x0:x1],
        coverage[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32) / 255,
        ink,
    )


def tint(region: Canvas, coverage: npt.NDArray[np.float32], ink: Rgb | Canvas) -> None:
    """Blend a colour, or a picture (h, w, 3), into a region (h, w, 3), by a coverage (h, w) in [0, 1]."""
    share = coverage[..., None]
    region[:] = np.round(region * (1 - share) + np.asarray(ink, np.float32) * share).astype(np.uint8)
