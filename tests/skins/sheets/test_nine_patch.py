import cv2
import numpy as np

from skin_pipeline.skins.sheets.nine_patch import measure_insets


def rounded_cap(width, height, radius, noise=0.0):
    mask = np.zeros((height, width), np.uint8)
    cv2.rectangle(mask, (radius, 0), (width - 1 - radius, height - 1), 255, -1)
    cv2.rectangle(mask, (0, radius), (width - 1, height - 1 - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(mask, (x, y), radius, 255, -1)
    colours = np.full((height, width, 3), 180.0) + np.random.default_rng(0).normal(
        0, noise, (height, width, 3)
    )
    return np.dstack([np.clip(colours, 0, 255).astype(np.uint8), mask])


def test_corners_stay_and_the_middle_stretches():
    insets = measure_insets(rounded_cap(120, 80, 16))
    for side in (insets.left, insets.top, insets.right, insets.bottom):
        assert 6 <= side <= 17
    assert abs(insets.left - insets.right) <= 1


def test_the_grain_of_a_generated_cap_does_not_hide_its_middle():
    insets = measure_insets(rounded_cap(120, 80, 16, noise=6))
    assert insets.left <= 18
    assert insets.top <= 18


def test_an_even_gradient_stretches_whole():
    tile = np.full((40, 60, 4), 255, dtype=np.uint8)
    tile[..., 0] = np.linspace(0, 255, 60)
    insets = measure_insets(tile)
    assert (insets.left, insets.right) == (0, 0)


def test_an_ornament_keeps_its_side():
    tile = rounded_cap(120, 80, 8)
    tile[20:60, 70:110, :3] = np.random.default_rng(1).integers(0, 255, (40, 40, 3))
    insets = measure_insets(tile)
    assert insets.right >= 45


def test_a_cap_that_is_all_ornament_has_no_middle():
    tile = np.full((64, 64, 4), 255, dtype=np.uint8)
    tile[..., :3] = (np.indices((64, 64)).sum(axis=0) // 8 % 2 * 255)[..., None]
    assert measure_insets(tile) is None
