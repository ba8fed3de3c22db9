"""Crops along quads, and quads drawn in, cut and levelled by what the crops show."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from skin_pipeline.geometry import boxes_of, quads_of
from skin_pipeline.recognition.crops import level_short_quads, split_row, straighten, tighten_quad


def panel(size: tuple[int, int], *marks: tuple[int, int, int, int]) -> np.ndarray:
    """Draw dark rectangles (exclusive corners) on a light panel."""
    picture = Image.new("RGB", size, (230, 220, 240))
    for left, top, right, bottom in marks:
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), (30, 40, 60))
    return np.asarray(picture)


def test_straightening_an_upright_box_is_slicing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    crop = straighten(image, quads_of([(10, 5, 30, 20)])[0])
    np.testing.assert_array_equal(crop, image[5:20, 10:30])


def test_straightening_undoes_a_quarter_turn() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    upright = quads_of([(10, 5, 30, 20)])[0]
    crop = straighten(image, np.roll(upright, -1, axis=0))  # its text runs downwards
    np.testing.assert_array_equal(crop, np.rot90(image[5:20, 10:30]))


def test_a_short_quad_that_leans_is_set_upright() -> None:
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    square = (quads_of([(-10, -10, 10, 10)])[0] @ turn) + 50
    line = (quads_of([(-40, -10, 40, 10)])[0] @ turn) + 50
    levelled = level_short_quads(np.stack([square, line]))
    np.testing.assert_allclose(levelled[0], quads_of(boxes_of(square))[0])
    np.testing.assert_allclose(levelled[1], line)


def test_a_row_is_cut_at_its_gaps() -> None:
    image = panel((200, 40), (10, 10, 22, 30), (60, 10, 70, 30), (110, 10, 116, 30), (119, 10, 124, 30))
    parts = boxes_of(split_row(image, quads_of([(0, 5, 200, 35)])[0], gap=0.6))
    np.testing.assert_allclose(parts[:, [0, 2]], [[7, 25], [57, 73], [107, 127]])
    np.testing.assert_allclose(parts[:, [1, 3]], [[5, 35]] * 3)


def test_a_row_of_keys_is_cut_though_the_panel_shows_between_them() -> None:
    image = panel((200, 40), (30, 10, 42, 30), (95, 0, 105, 40), (150, 10, 160, 30))
    parts = boxes_of(split_row(image, quads_of([(0, 5, 200, 35)])[0], gap=0.6))
    np.testing.assert_allclose(parts[:, [0, 2]], [[27, 45], [147, 163]])


def test_a_quad_is_drawn_in_to_its_ink_and_margin() -> None:
    image = panel((100, 80), (40, 30, 60, 60))
    tight = boxes_of(tighten_quad(image, quads_of([(25, 18, 80, 70)])[0]))[0]
    np.testing.assert_allclose(tight, [37, 27, 63, 63])  # 15 % of the ink's shorter side, 20 px


def test_a_border_at_the_crops_edge_is_no_ink() -> None:
    image = panel((100, 80), (40, 30, 60, 60), (20, 10, 24, 75))
    tight = boxes_of(tighten_quad(image, quads_of([(22, 18, 80, 70)])[0]))[0]
    np.testing.assert_allclose(tight, [37, 27, 63, 63])


@pytest.mark.parametrize("marks", [(), ((45, 40, 50, 42),)])
def test_a_quad_without_clear_ink_stays(marks: tuple[tuple[int, int, int, int], ...]) -> None:
    quad = quads_of([(25, 18, 80, 70)])[0]
    np.testing.assert_array_equal(tighten_quad(panel((100, 80), *marks), quad), quad)
