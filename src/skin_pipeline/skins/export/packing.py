"""Packing the pictures of a skin onto sheets.

Pictures are laid on shelves, tallest first. A general rectangle packer would fill sheets better, but the room
it saves is transparent, which PNG stores in next to nothing; on real skins shelves fill 55 to 86 percent of a
sheet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from skin_pipeline.skins.model import Rect, RgbaPixels

MAX_SHEET_PIXELS = 1 << 24
"""Baidu's keyboard refuses larger sheets (16.7 million pixels)."""
MAX_TILES_ON_SHEET = 512
"""Baidu's keyboard refuses more."""

_GAP_PX = 2
"""Keeps a picture that is scaled on the phone from taking in its neighbour's edge."""
_SHEET_SIDE_PX = 2048
"""Textures of this side work on every phone; larger only where one picture needs it."""


@dataclass(frozen=True)
class Placement:
    """Where a picture lies.

    Attributes:
        sheet: Index of its sheet, from 0.
        rect: Its rectangle on the sheet, whole pixels.
    """

    sheet: int
    rect: Rect


@dataclass(frozen=True)
class PackedSheets:
    """Pictures on sheets.

    Attributes:
        sheets: (H, W, 4) each; transparent where nothing lies.
        placements: By digest of the picture, see :func:`picture_digest`.
    """

    sheets: tuple[RgbaPixels, ...]
    placements: dict[str, Placement]


def picture_digest(pixels: RgbaPixels) -> str:
    """Return the name by which equal pictures are one: the sha256 of size and pixels."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def pack(pictures: Iterable[RgbaPixels], max_tiles: int = MAX_TILES_ON_SHEET) -> PackedSheets:
    """Lay pictures on as few sheets as shelves allow; equal pictures once.

    Args:
        pictures: (H, W, 4) each.
        max_tiles: Most pictures on a sheet.

    Returns:
        The sheets. The order of the pictures makes no difference.
    """
    distinct = {picture_digest(pixels): pixels for pixels in pictures}
    order = sorted(
        distinct, key=lambda digest: (-distinct[digest].shape[0], -distinct[digest].shape[1], digest)
    )
    side = max([_SHEET_SIDE_PX, *(pixels.shape[1] for pixels in distinct.values())])
    shelves = _Shelves(side, max_tiles)
    placements = {digest: shelves.place(*distinct[digest].shape[1::-1]) for digest in order}
    sheets = [np.zeros((height, width, 4), np.uint8) for width, height in shelves.sizes()]
    for digest, placement in placements.items():
        x, y = int(placement.rect.x), int(placement.rect.y)
        pixels = distinct[digest]
        sheets[placement.sheet][y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return PackedSheets(tuple(sheets), placements)


class _Shelves:
    """Hands out places from left to right, shelf below shelf, sheet after sheet."""

    def __init__(self, width: int, max_tiles: int) -> None:
        self._max_width, self._max_tiles = width, max_tiles
        self._extents: list[tuple[int, int]] = []
        self._num_tiles = 0
        self._x = self._y = self._shelf_height = 0

    def place(self, width: int, height: int) -> Placement:
        """Place the next picture; pictures come tallest first, so that it fits the open shelf."""
        if self._extents and self._x + width > self._max_width:
            self._x, self._y, self._shelf_height = 0, self._y + self._shelf_height + _GAP_PX, 0
        if not self._extents or self._num_tiles >= self._max_tiles or not self._fits(height):
            self._extents.append((0, 0))
            self._num_tiles = self._x = self._y = self._shelf_height = 0
        rect = Rect(self._x, self._y, width, height)
        self._x += width + _GAP_PX
        self._shelf_height = max(self._shelf_height, height)
        self._num_tiles += 1
        wide, tall = self._extents[-1]
        self._extents[-1] = (max(wide, int(rect.right)), max(tall, int(rect.bottom)))
        return Placement(len(self._extents) - 1, rect)

    def _fits(self, height: int) -> bool:
        """Whether the open shelf may reach down so far; the first picture of a sheet may always."""
        limit = max(_SHEET_SIDE_PX, self._shelf_height)
        return self._y == 0 or self._y + height <= limit

    def sizes(self) -> list[tuple[int, int]]:
        """Return width and height of the sheets: what is used of them."""
        return self._extents
