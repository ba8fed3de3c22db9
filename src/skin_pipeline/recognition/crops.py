"""Crops of a picture along quads, and quads cut and levelled by what the crops show.

Quads follow the convention of :mod:`skin_pipeline.geometry`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from skin_pipeline.geometry import FloatArray, as_quads, boxes_of, quad_sizes, quads_of

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SHORT = 2.0
"""A quad less than this many times longer than high has no direction of its own."""
LEAN_DEGREES = 25.0
"""A short quad that leans by less than this is set upright."""
ROW_MARGIN = 0.1
"""Margin on both sides of a legend cut out of a row, in heights of the row."""
INK_SHARE = 0.35
"""Share of a crop's greatest contrast from which on a pixel is ink."""
INK_MARGIN = 0.15
"""Margin of a tightened quad around its ink, in units of the ink's shorter side."""
LEAST_INK_HEIGHT = 0.4
"""Ink lower than this share of its quad is not the text."""
LEAST_INNER_SHARE = 0.5
"""Share of the ink that must be clear of the crop's edge for the rest to count as a frame."""


def straighten(image: Image, quad: FloatArray) -> Image:
    """Cut a quad out of a picture as an upright rectangle of its own size.

    Args:
        image: (H, W, 3).
        quad: (4, 2), pixels of the picture. What lies outside the picture repeats its edge.

    Returns:
        The crop, at least 1 x 1.
    """
    width, height = (max(1, round(float(length))) for length in quad_sizes(quad)[0])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    # OpenCV counts pixel centres as whole numbers, geometry.py as halves.
    matrix = cv2.getPerspectiveTransform((quad - 0.5).astype(np.float32), (corners - 0.5).astype(np.float32))
    crop = cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, dtype=np.uint8)


def level_short_quads(quads: FloatArray) -> FloatArray:
    """Set quads upright that lean although their text is too short to lean.

    The detector surrounds a blob by the rectangle of least area; around a single letter, that leans at
    random.

    Args:
        quads: (N, 4, 2).

    Returns:
        The quads, (N, 4, 2); short ones that leaned a little are the boxes around them.
    """
    quads = as_quads(quads)
    sizes = quad_sizes(quads)
    tops = quads[:, 1] - quads[:, 0]
    lean = np.abs(np.degrees(np.arctan2(tops[:, 1], tops[:, 0])))
    short = sizes.max(axis=1) < SHORT * np.maximum(sizes.min(axis=1), 1e-6)
    upright = (short & (lean < LEAN_DEGREES))[:, None, None]
    return np.where(upright, quads_of(boxes_of(quads)), quads)


def split_row(image: Image, quad: FloatArray, gap: float) -> FloatArray:
    """Cut a row of several legends where nothing is written, and where the panel shows between two keys.

    Args:
        image: RGB, (H, W, 3).
        quad: The row, (4, 2).
        gap: A gap wider than this, in heights of the row, is a cut.

    Returns:
        The quads of its legends, (N, 4, 2), as high as the row; at least one.
    """
    crop = straighten(image, quad)
    height, width = crop.shape[:2]
    ink = _ink(crop)
    written = _without_dividers(ink)
    columns = np.flatnonzero(written.any(axis=0))
    if not len(columns):
        return as_quads(quad)
    divided = np.cumsum((ink & ~written).all(axis=0))[columns]
    breaks = np.flatnonzero((np.diff(columns) > gap * height) | (np.diff(divided) > 0))
    margin = ROW_MARGIN * height
    starts = np.maximum(columns[np.r_[0, breaks + 1]] - margin, 0) / width
    ends = np.minimum(columns[np.r_[breaks, len(columns) - 1]] + 1 + margin, width) / width
    return np.stack([_part(quad, (start, end), (0, 1)) for start, end in zip(starts, ends, strict=True)])


def tighten_quad(image: Image, quad: FloatArray) -> FloatArray:
    """Draw a quad in to the ink of its text and an even margin around it.

    Boxes of one row of letters thereby have one height, which a detector's do not.

    Args:
        image: RGB, (H, W, 3).
        quad: (4, 2); it never grows.

    Returns:
        The quad, (4, 2); unchanged where the ink cannot be told from what is behind it.
    """
    crop = straighten(image, quad)
    height, width = crop.shape[:2]
    ink = _without_frame(_ink(crop))
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows) or len(rows) < LEAST_INK_HEIGHT * height:
        return quad
    margin = INK_MARGIN * min(rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
    margin = max(margin, 1.0)
    left, right = max(columns[0] - margin, 0), min(columns[-1] + 1 + margin, width)
    top, bottom = max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, height)
    return _part(quad, (left / width, right / width), (top / height, bottom / height))


def _without_dividers(ink: Mask) -> Mask:
    """Leave out ink that reaches from top to bottom of its crop: the panel seen between two keys."""
    _, labels = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    dividers = np.intersect1d(labels[0], labels[-1])
    return ink & ~np.isin(labels, dividers[dividers > 0])


def _without_frame(ink: Mask) -> Mask:
    """Leave out ink that touches the edge of its crop, a key's border say, unless that is most of it."""
    count, labels = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    if count <= 2:
        return ink
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = ink & ~np.isin(labels, np.unique(edge[edge > 0]))
    return inner if inner.sum() >= LEAST_INNER_SHARE * ink.sum() else ink


def _ink(crop: Image) -> Mask:
    """Return where a crop differs much from its commonest colour, (H, W)."""
    contrast = np.abs(crop.astype(np.int16) - np.median(crop, axis=(0, 1)).astype(np.int16)).max(axis=2)
    ink: Mask = contrast > max(INK_SHARE * contrast.max(), 1)
    return ink


def _part(quad: FloatArray, across: tuple[float, float], down: tuple[float, float]) -> FloatArray:
    """Return the part of a quad between shares of its width and of its height, (4, 2)."""
    corners = [(across[0], down[0]), (across[1], down[0]), (across[1], down[1]), (across[0], down[1])]
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    return np.stack([(1 - v) * (quad[0] + u * top) + v * (quad[3] + u * bottom) for u, v in corners])
