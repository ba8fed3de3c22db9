"""Which of several overlapping findings of text to keep.

A detector that looks at several sizes finds most text several times, a row of keys sometimes as one line,
and parts of a word as words. Legends are upright on nearly all keyboards, so overlap is measured on
axis-aligned boxes.
"""

from collections.abc import Sequence

import numpy as np

from skin_pipeline.geometry import FloatArray, boxes_of, quad_sizes

DUPLICATE_IOU = 0.6
"""Boxes that overlap by more (intersection over union) are the same finding."""
NESTED_SHARE = 0.6
"""A box with more than this share of its area in another lies inside it."""
SPREAD_PITCH = 0.7
"""Latin characters of a word are nearer to each other than this, in heights of their quad."""
LENGTH_BONUS = 0.1
"""Power of a text's length by which its confidence counts more."""


def drop_duplicates(quads: FloatArray, scores: FloatArray, iou: float = DUPLICATE_IOU) -> list[int]:
    """Keep the best of each group of findings that are the same.

    Args:
        quads: (N, 4, 2).
        scores: The detector's score of each, (N,).
        iou: Findings that overlap by more are the same.

    Returns:
        Indices of those kept, best first.
    """
    shared = intersections(quads)
    areas = np.diagonal(shared)
    union = areas[:, None] + areas[None, :] - shared
    same = shared > iou * union
    kept: list[int] = []
    for index in np.argsort(-np.asarray(scores), kind="stable"):
        if not same[index, kept].any():
            kept.append(int(index))
    return kept


def drop_nested(quads: FloatArray, texts: Sequence[str], confidences: Sequence[float]) -> list[int]:
    """Keep one reading of every place.

    The surer of two readings stays; a longer one counts a little more, so that a word wins over its parts.

    Args:
        quads: (N, 4, 2).
        texts: What each says.
        confidences: How sure each reading is, 0 to 1.

    Returns:
        Indices of those kept.
    """
    shared = intersections(quads)
    areas = np.diagonal(shared)
    smaller = np.minimum(areas[:, None], areas[None, :])
    covers = shared > NESTED_SHARE * smaller
    pairs = zip(texts, confidences, strict=True)
    ranks = [confidence * len(text) ** LENGTH_BONUS for text, confidence in pairs]
    kept: list[int] = []
    for index in sorted(range(len(texts)), key=ranks.__getitem__, reverse=True):
        if not covers[index, kept].any():
            kept.append(index)
    return kept


def intersections(quads: FloatArray) -> FloatArray:
    """Return the areas that the boxes around quads share: (N, N), on its diagonal each box's own area."""
    boxes = boxes_of(quads)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    areas: FloatArray = sides[..., 0] * sides[..., 1]
    return areas


def is_spread(quad: FloatArray, text: str) -> bool:
    """Say whether the characters of a piece of text are too far apart for a word.

    Args:
        quad: (4, 2).
        text: What it says.
    """
    width, height = quad_sizes(quad)[0]
    return bool(width > SPREAD_PITCH * height * count_characters(text))


def count_characters(text: str) -> int:
    """Return the number of characters that are not spaces: ``Q W E`` has three."""
    return len("".join(text.split()))
