import cv2
import numpy as np
import pytest

from skin_pipeline.evaluation.layout import (
    enclosed_keys,
    find_keys,
    intersection_over_union,
    layout_agreement,
)

KEYS = np.array([[20.0 + 60 * i, 40.0, 70.0 + 60 * i, 100.0] for i in range(4)])
DOWN = np.array([0, 60, 0, 60])
HALF_A_KEY = np.array([25, 0, 25, 0])


def draw(keys, colour=(250, 250, 250), panel=(40, 60, 120), legend=True):
    picture = np.full((160, 280, 3), panel, np.uint8)
    for left, top, right, bottom in keys.astype(int):
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, -1)
        if legend:
            cv2.putText(picture, "A", (left + 12, top + 42), cv2.FONT_HERSHEY_SIMPLEX, 1, (10, 10, 10), 2)
    return picture


def test_overlaps_are_known():
    boxes = np.array([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    np.testing.assert_allclose(
        intersection_over_union(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]], atol=1e-12
    )


def test_identity_agrees_perfectly_in_any_order():
    for found in (KEYS, KEYS[::-1]):
        agreement = layout_agreement(found, KEYS)
        assert (agreement.iou, agreement.recall, agreement.precision) == (1.0, 1.0, 1.0)


def test_missing_extra_and_moved_keys_are_told_apart():
    missing = layout_agreement(KEYS[:2], KEYS)
    assert (missing.iou, missing.recall, missing.precision) == (0.5, 0.5, 1.0)
    extra = layout_agreement(np.vstack([KEYS, KEYS + DOWN]), KEYS)
    assert (extra.iou, extra.recall, extra.precision) == (1.0, 1.0, 0.5)
    moved = layout_agreement(KEYS + HALF_A_KEY, KEYS)  # half a key to the right: 25 of 75
    assert moved.iou == pytest.approx(1 / 3)
    assert (moved.recall, moved.precision) == (0.0, 0.0)
    assert layout_agreement(np.empty((0, 4)), KEYS) == layout_agreement(np.empty((0, 4)), KEYS[::-1])


def test_a_found_key_counts_once():
    both = np.array([[0.0, 0, 10, 10], [0, 0, 10, 12]])
    agreement = layout_agreement(both[:1], both)
    assert (agreement.iou, agreement.recall) == (0.5, 0.5)


@pytest.mark.parametrize("colour", [(250, 250, 250), (52, 72, 132)])  # the second is 12 levels off its panel
def test_drawn_keys_are_found_where_they_are(colour):
    found = find_keys(draw(KEYS, colour, legend=colour[0] > 200), KEYS)
    agreement = layout_agreement(found, KEYS)
    assert agreement.iou > 0.9
    assert (agreement.recall, agreement.precision) == (1.0, 1.0)


def test_an_empty_panel_has_no_keys():
    picture = draw(KEYS[:0])
    assert len(find_keys(picture, KEYS)) == 0
    assert layout_agreement(find_keys(picture, KEYS), KEYS).iou == 0.0


def test_keys_of_a_conditioning_image_are_found_with_legends_filled_or_not():
    edges = np.zeros((160, 280), np.uint8)
    for left, top, right, bottom in KEYS.astype(int):
        cv2.rectangle(edges, (left, top), (right - 1, bottom - 1), 255, 1)
        cv2.putText(edges, "A", (left + 12, top + 42), cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 3)
    assert layout_agreement(enclosed_keys(edges), KEYS).iou > 0.93
