"""Find, by measurement, which part of a key cap may be stretched.

A cap that is to fit keys of several sizes is drawn as a nine-patch: its corners keep their size, its middle
is pulled. That is right where a cap's columns (or rows) are all alike, or change evenly; it is wrong across a
rounded corner or an ornament. So the middle is the longest run of columns that stretching reproduces.
"""

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.skins.model import Insets, RgbaPixels

TOLERANCE = 6.0
"""Largest mean difference, in levels of 255, between a run's columns and the even change from its first to
its last one."""
_BINS = 32
"""Cells that a line is averaged into before lines are compared: noise evens out, shapes stay."""


def measure_insets(tile: RgbaPixels, tolerance: float = TOLERANCE) -> Insets | None:
    """Return the insets by which a tile can be stretched as a nine-patch.

    Args:
        tile: RGBA, (H, W, 4).
        tolerance: See :data:`TOLERANCE`; generated caps are never perfectly even.

    Returns:
        The insets in pixels, the middle at least one pixel wide and high; None if the tile is ornamented all
        over, so that it can only be stretched as a whole.
    """
    premultiplied = tile[..., :3].astype(np.float32) * (tile[..., 3:] / np.float32(255))
    levels = np.dstack([premultiplied, tile[..., 3].astype(np.float32)])
    columns = _longest_even_run(levels.transpose(1, 0, 2), tolerance)
    rows = _longest_even_run(levels, tolerance)
    if columns is None or rows is None:
        return None
    height, width = tile.shape[:2]
    return Insets(left=columns[0], top=rows[0], right=width - columns[1], bottom=height - rows[1])


def _longest_even_run(lines: npt.NDArray[np.float32], tolerance: float) -> tuple[int, int] | None:
    """Return the first line and the one after the last of the longest run that changes evenly.

    Of runs of the same length the most central one. A run covers at least a fifth of all lines.
    """
    count, bins = len(lines), min(_BINS, lines.shape[1])
    flat = cv2.resize(lines, (bins, count), interpolation=cv2.INTER_AREA).reshape(count, -1)
    for length in range(count, max(1, count // 5) - 1, -1):
        starts = sorted(range(count - length + 1), key=lambda start: abs(2 * start + length - count))
        for start in starts:
            if _is_even(flat[start : start + length], tolerance):
                return start, start + length
    return None


def _is_even(run: npt.NDArray[np.float32], tolerance: float) -> bool:
    """Tell whether every line of a run lies on the way from its first to its last one."""
    last = max(1, len(run) - 1)

    def strays(index: npt.NDArray[np.intp]) -> bool:
        share = (index / last).astype(np.float32)[:, None]
        even = (1 - share) * run[0] + share * run[-1]
        return bool(np.abs(run[index] - even).mean(axis=1).max() > tolerance)

    # one look at the middle line settles most runs that are not even
    return not strays(np.array([len(run) // 2])) and not strays(np.arange(len(run)))
