"""Whether the keys of a generated picture lie where the layout has them.

Keys are found as what edges enclose: an edge map cuts a picture into regions, and a region whose filled
shape is nearly a rectangle of a key's size is one. The wanted keys are those of the layout itself, where it
is known; otherwise those that the conditioning image encloses, found in the same way.

*Convention*: boxes (N, 4) are xyxy in pixels, (left, top, right, bottom).
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.prep.edges import trace_edges

Boxes = npt.NDArray[np.float64]
EdgeMap = npt.NDArray[np.uint8]

CLEAR_EDGES = (50.0, 80.0)
"""Canny's thresholds for keys that stand out."""
FAINT_EDGES = (10.0, 25.0)
"""For keys a few levels lighter or darker than their panel; tried when fewer are found by clear ones."""
MATCHED_IOU = 0.5
"""From this intersection over union on, two boxes show the same key (PASCAL VOC's threshold)."""
MIN_EXTENT = 0.7
"""Least share of its box that a key fills; a circle fills 0.785."""
_SIDES = (0.03, 0.8)
"""A key's width and height as shares of the picture's."""
_LARGEST_AREA = 0.25
_GAPS_PX = (2, 4, 8)
"""Gaps in a key's outline that are closed; drawn outlines have many, that eyes pass over."""
_SAME_KEY = 0.3
"""Findings that overlap by more than this are one key; the one with the smallest gaps closed is kept."""


@dataclass(frozen=True)
class LayoutAgreement:
    """How far the keys found in one picture agree with the wanted ones; shares in [0, 1]."""

    iou: float
    """Mean intersection over union over the wanted keys, each with the found key that fits it best, 0 where
    none is left for it."""
    recall: float
    """Share of the wanted keys that were found (:data:`MATCHED_IOU`)."""
    precision: float
    """Share of the found keys that were wanted."""
    num_found: int
    num_wanted: int


def layout_agreement(found: Boxes, wanted: Boxes) -> LayoutAgreement:
    """Compare found keys with wanted ones, each used at most once, best pairs first.

    Args:
        found: (N, 4).
        wanted: (M, 4), M at least 1.

    Returns:
        The agreement; where nothing is found, precision is 1 and the rest 0.
    """
    assert len(wanted), "There are no keys to look for."
    overlaps = intersection_over_union(wanted, found)
    best = np.zeros(len(wanted))
    left = overlaps.copy()
    for _ in range(min(left.shape)):
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        if left[row, column] <= 0:
            break
        best[row] = left[row, column]
        left[row, :] = left[:, column] = -1
    num_matched = int((best >= MATCHED_IOU).sum())
    return LayoutAgreement(
        iou=float(best.mean()),
        recall=num_matched / len(wanted),
        precision=num_matched / len(found) if len(found) else 1.0,
        num_found=len(found),
        num_wanted=len(wanted),
    )


def intersection_over_union(firsts: Boxes, seconds: Boxes) -> npt.NDArray[np.float64]:
    """Return the share of their union that boxes (N, 4) and (M, 4) have in common, (N, M)."""
    near = np.maximum(firsts[:, None, :2], seconds[None, :, :2])
    far = np.minimum(firsts[:, None, 2:], seconds[None, :, 2:])
    common = np.prod(np.maximum(far - near, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (firsts, seconds)]
    shares: npt.NDArray[np.float64] = common / (areas[0][:, None] + areas[1][None] - common)
    return shares


def find_keys(picture: npt.NDArray[np.uint8], wanted: Boxes) -> Boxes:
    """Find the keys of a picture.

    With clear edges and with faint ones; what fits the wanted keys better counts, so that painted texture,
    which faint edges see, is not held against a picture whose keys stand out. With each, small gaps in the
    outlines are closed first, then larger ones for keys that are not found yet.

    Args:
        picture: (H, W, 3) uint8 RGB.
        wanted: (M, 4), the keys to be found.

    Returns:
        (N, 4).
    """
    smooth = np.asarray(cv2.bilateralFilter(picture, 5, 30, 5), dtype=np.uint8)
    found = [_with_gaps_closed(trace_edges(smooth, *some, "any")) for some in (CLEAR_EDGES, FAINT_EDGES)]
    return max(found, key=lambda boxes: layout_agreement(boxes, wanted).iou)


def _with_gaps_closed(edges: EdgeMap) -> Boxes:
    kept = np.empty((0, 4))
    for gap_px in _GAPS_PX:
        more = enclosed_keys(edges, gap_px)
        is_new = (intersection_over_union(more, kept) < _SAME_KEY).all(axis=1)
        kept = np.vstack([kept, more[is_new]])
    return kept


def enclosed_keys(edges: EdgeMap, gap_px: int = 2) -> Boxes:
    """Return the boxes of the regions of a key's size and about its shape that edges enclose.

    Args:
        edges: (H, W), not 0 on edges; filled glyphs count as edges.
        gap_px: Gaps in outlines that are closed, an even number.

    Returns:
        (N, 4), grown to the edges themselves, sorted from top to bottom and from left to right.
    """
    height, width = edges.shape
    closed = cv2.dilate((edges != 0).astype(np.uint8), np.ones((gap_px + 1, gap_px + 1), np.uint8))
    reach = gap_px / 2 + 1  # what the closing took, and the edge itself
    _, labels, stats, _ = cv2.connectedComponentsWithStats((closed == 0).astype(np.uint8), connectivity=4)
    boxes = []
    for label, (left, top, w, h, _) in enumerate(stats.tolist()):
        is_of_a_size = all(
            _SIDES[0] * side < length < _SIDES[1] * side for length, side in ((w, width), (h, height))
        )
        if label == 0 or not is_of_a_size or w * h > _LARGEST_AREA * width * height:
            continue
        region = (labels[top : top + h, left : left + w] == label).astype(np.uint8)
        if _filled_share(region) > MIN_EXTENT:
            boxes.append((left - reach, top - reach, left + w + reach, top + h + reach))
    return np.array(sorted(boxes, key=lambda box: (box[1], box[0])), dtype=np.float64).reshape(-1, 4)


def _filled_share(region: EdgeMap) -> float:
    """Return the share of its box that a region covers once its holes (legends, icons) are filled."""
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(region)
    cv2.drawContours(filled, contours, -1, (1,), thickness=cv2.FILLED)
    return float(filled.mean())
