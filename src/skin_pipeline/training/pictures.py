"""The sheet of validation pictures: put together by the trainer, cut up by who judges it. Loads no torch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skin_pipeline.geometry import Size

Picture = NDArray[np.uint8]

_GAP_PX = 4


class DrawnRow(NamedTuple):
    """A held-out skin, and what was drawn from its conditioning image and caption; (H, W, 3) uint8 each."""

    conditioning: Picture
    drawn: Picture
    real: Picture


def join_rows(rows: Sequence[DrawnRow]) -> Picture:
    """Put rows of pictures on a sheet, white between and beside them; the pictures of a row are of one size.

    Returns:
        uint8 RGB, (sum of heights, 3 * largest width, 3) with gaps.
    """
    sizes = [(row.real.shape[1], row.real.shape[0]) for row in rows]
    pitch_x, height = _frame(sizes)
    sheet = np.full((height, 3 * pitch_x - _GAP_PX, 3), 255, dtype=np.uint8)
    for row, windows in zip(rows, _windows(sizes), strict=True):
        for picture, window in zip(row, windows, strict=True):
            sheet[window] = picture
    return sheet


def cut_rows(sheet: Picture, sizes: Sequence[Size]) -> list[DrawnRow]:
    """Cut a sheet into its rows.

    Args:
        sheet: Of :func:`join_rows`.
        sizes: Width and height of the pictures of each row.
    """
    return [DrawnRow(*(sheet[window] for window in windows)) for windows in _windows(sizes)]


def _windows(sizes: Sequence[Size]) -> Iterator[list[tuple[slice, slice]]]:
    """Yield where the pictures of each row lie, rows and columns."""
    pitch_x, _ = _frame(sizes)
    top = 0
    for width, height in sizes:
        lefts = range(0, 3 * pitch_x, pitch_x)
        yield [(slice(top, top + height), slice(left, left + width)) for left in lefts]
        top += height + _GAP_PX


def _frame(sizes: Sequence[Size]) -> tuple[int, int]:
    """Return how far the columns are apart, and the height of the sheet."""
    pitch_x = max(width for width, _ in sizes) + _GAP_PX
    return pitch_x, sum(height + _GAP_PX for _, height in sizes) - _GAP_PX
