"""Paints as pictures, for formats that cannot say them otherwise."""

import math

import cv2
import numpy as np

from skin_pipeline.skins.model import Atlas, Fill, Insets, Paint, Rect, RgbaPixels, Tile
from skin_pipeline.skins.rendering import render_paint

_TRANSPARENT: RgbaPixels = np.zeros((1, 1, 4), np.uint8)


def pixels_tile(pixels: RgbaPixels) -> Tile:
    """Return a whole picture as a tile that is drawn at its own size, one design pixel a pixel."""
    return Tile(Atlas("", pixels), Rect(0, 0, pixels.shape[1], pixels.shape[0]))


BLANK = pixels_tile(_TRANSPARENT)
"""Draws nothing, where the absence of a picture would mean another one."""


def fill_tile(fill: Fill, unit: float = 1.0) -> Tile:
    """Return a plain colour as the smallest picture that stretches to it.

    Args:
        fill: The colour, with its corners and line.
        unit: Design pixels of the fill in a pixel of the picture.
    """
    edge = math.ceil(max(fill.radius, fill.border_width) / unit)
    side = 2 * edge + 1
    pixels = render_paint(fill, (side, side), unit_px=1 / unit)
    tile = pixels_tile(pixels)
    if not edge:
        return Tile(tile.atlas, tile.source, "stretch")
    return Tile(tile.atlas, tile.source, "nine_patch", Insets(edge, edge, edge, edge))


def picture_of(paint: Paint, size: tuple[float, float], unit: float) -> Tile:
    """Return a picture of a paint in a place of a size (design pixels), ``unit`` design pixels a pixel."""
    width, height = (max(1, round(side / unit)) for side in size)
    return pixels_tile(render_paint(paint, (width, height), unit_px=1 / unit))


def padded(pixels: RgbaPixels, offset: tuple[int, int]) -> RgbaPixels:
    """Add transparent margins such that the old centre lies off the new one by an offset (x, y)."""
    (dx, dy), (height, width) = offset, pixels.shape[:2]
    wider = np.zeros((height + 2 * abs(dy), width + 2 * abs(dx), 4), np.uint8)
    left, top = abs(dx) + dx, abs(dy) + dy
    wider[top : top + height, left : left + width] = pixels
    return wider


def resampled(pixels: RgbaPixels, size: tuple[int, int]) -> RgbaPixels:
    """Resize a picture to (width, height); colours count by their alpha: nothing hidden bleeds out."""
    shrinks = size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]
    values = pixels.astype(np.float32)
    values[..., :3] *= values[..., 3:] / 255
    values = cv2.resize(values, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    values = np.clip(values.reshape(size[1], size[0], 4), 0, 255)
    values[..., :3] = np.clip(values[..., :3] * 255 / np.maximum(values[..., 3:], 1e-3), 0, 255)
    rounded: RgbaPixels = np.rint(values).astype(np.uint8)
    return rounded
