import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import (
    FitMode,
    Size,
    apply_affine,
    as_quads,
    boxes_of,
    bucket_sizes,
    clip_quads,
    compose_affine,
    draw_in,
    invert_affine,
    nearest_bucket,
    order_corners,
    plan_fit,
    quad_areas,
    quad_sizes,
    quads_inside,
    quads_of,
)

UNIT = [[0, 0], [10, 0], [10, 5], [0, 5]]

sides = st.integers(1, 4000)
sizes = st.tuples(sides, sides)
coordinates = st.floats(-4000, 4000)
points = st.tuples(coordinates, coordinates)
modes = st.sampled_from(["stretch", "crop", "pad"])
scales = st.floats(0.05, 20)


def _turned_stretched_and_moved(angle: float, scale: tuple, shift: tuple) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn * scale, shift])


affines = st.builds(_turned_stretched_and_moved, st.floats(-3, 3), st.tuples(scales, scales), points)


@given(modes, sizes, sizes, st.lists(points, min_size=1, max_size=8))
def test_a_fit_and_its_inverse_bring_points_back(
    mode: FitMode, source: Size, target: Size, there: list
) -> None:
    matrix = plan_fit(mode, source, target).matrix
    back = apply_affine(invert_affine(matrix), apply_affine(matrix, there))
    np.testing.assert_allclose(back, there, atol=1e-6)


@given(affines, affines, st.lists(points, min_size=1, max_size=8))
def test_composition_is_one_map_after_the_other(outer: np.ndarray, inner: np.ndarray, there: list) -> None:
    expected = apply_affine(outer, apply_affine(inner, there))
    np.testing.assert_allclose(
        apply_affine(compose_affine(outer, inner), there), expected, rtol=1e-9, atol=1e-6
    )


@given(modes, sizes, sizes)
def test_a_fit_stays_in_both_pictures_and_fills_one(mode: FitMode, source: Size, target: Size) -> None:
    fit = plan_fit(mode, source, target)
    for window, frame in ((fit.source, source), (fit.target, target)):
        assert window.left >= 0
        assert window.top >= 0
        assert 1 <= window.width <= frame[0] - window.left
        assert 1 <= window.height <= frame[1] - window.top
    corners = quads_of([0, 0, *target]) if mode != "pad" else quads_of([0, 0, *source])
    window = fit.source if mode != "pad" else fit.target
    there = (
        apply_affine(invert_affine(fit.matrix), corners)
        if mode != "pad"
        else apply_affine(fit.matrix, corners)
    )
    expected = [window.left, window.top, window.left + window.width, window.top + window.height]
    np.testing.assert_allclose(boxes_of(there)[0], expected, atol=1e-6)


@given(sizes, sizes)
def test_crop_and_pad_keep_proportions_to_half_a_pixel(source: Size, target: Size) -> None:
    crop, pad = plan_fit("crop", source, target).source, plan_fit("pad", source, target).target
    enlarge, shrink = (
        max(target[0] / source[0], target[1] / source[1]),
        min(target[0] / source[0], target[1] / source[1]),
    )
    for number, name in enumerate(("width", "height")):
        assert abs(getattr(crop, name) - max(1, target[number] / enlarge)) <= 0.5 + 1e-9
        assert abs(getattr(pad, name) - max(1, source[number] * shrink)) <= 0.5 + 1e-9


@given(sizes)
def test_the_same_size_changes_nothing(size: Size) -> None:
    for mode in ("stretch", "crop", "pad"):
        np.testing.assert_array_equal(plan_fit(mode, size, size).matrix, [[1, 0, 0], [0, 1, 0]])


def test_stretch_of_a_keyboard_to_a_square() -> None:
    matrix = plan_fit("stretch", (1080, 810), (256, 256)).matrix
    np.testing.assert_allclose(
        apply_affine(matrix, [[0, 0], [540, 405], [1080, 810]]), [[0, 0], [128, 128], [256, 256]]
    )


def test_crop_cuts_the_sides_and_pad_adds_bands() -> None:
    assert plan_fit("crop", (1080, 810), (256, 256)).source == plan_fit("crop", (1080, 810), (64, 64)).source
    crop, pad = plan_fit("crop", (1080, 810), (256, 256)), plan_fit("pad", (1080, 810), (256, 256))
    assert (crop.source.left, crop.source.top, crop.source.width, crop.source.height) == (135, 0, 810, 810)
    assert (pad.target.left, pad.target.top, pad.target.width, pad.target.height) == (0, 32, 256, 192)


@given(st.permutations(range(4)), st.floats(-0.7, 0.7), st.floats(1, 50), st.floats(1, 50), points)
def test_corners_are_ordered_whatever_their_order(
    order: list, angle: float, width: float, height: float, at: tuple
) -> None:
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - [width / 2, height / 2]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quad = flat @ turn.T + at
    if (
        np.sort(quad.sum(axis=1))[1] - quad.sum(axis=1)[0] > 1e-6
    ):  # its first corner is the one nearest top left
        np.testing.assert_allclose(order_corners(quad[order]), quad, atol=1e-9)


def test_measures_of_a_known_quad() -> None:
    assert boxes_of(UNIT).tolist() == [[0, 0, 10, 5]]
    assert quads_of([0, 0, 10, 5]).tolist() == [UNIT]
    assert quad_sizes(UNIT).tolist() == [[10, 5]]
    assert quad_areas(UNIT).tolist() == [50]
    assert quad_areas(UNIT[::-1]).tolist() == [-50]


def test_inside_and_clipping() -> None:
    quads = [UNIT, [[-0.5, 0], [10, 0], [10, 5], [0, 5]], [[0, 0], [12, 0], [12, 5], [0, 5]]]
    assert quads_inside(quads, (10, 5)).tolist() == [True, False, False]
    assert quads_inside(quads, (10, 5), tolerance_px=1).tolist() == [True, True, False]
    assert quads_inside([], (10, 5)).tolist() == []
    assert clip_quads(quads, (10, 5)).tolist() == [UNIT, UNIT, UNIT]


@pytest.mark.parametrize("wrong", [[1, 2, 3], np.zeros((2, 3, 2)), np.full((1, 4, 2), np.nan)])
def test_what_is_no_quad_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="Quads must"):
        as_quads(wrong)


def test_what_is_no_matrix_or_has_no_inverse_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 3\), got \(3, 3\)"):
        apply_affine(np.eye(3), UNIT)
    with pytest.raises(InputError, match="no inverse"):
        invert_affine([[0, 0, 1], [0, 1, 0]])


def test_the_buckets_of_sdxl() -> None:
    buckets = bucket_sizes(1024, 64)
    # Podell et al. 2023, appendix I, lists these among others
    some = {(512, 2048), (704, 1408), (832, 1216), (896, 1152), (1024, 1024), (1152, 896), (1344, 768)}
    assert some <= set(buckets)
    assert {(2048, 512), (1856, 512), (1728, 576)} <= set(buckets)


@given(st.integers(8, 160), st.sampled_from([32, 64]))
def test_buckets_hold_no_more_than_the_square_and_come_in_pairs(eighths: int, step: int) -> None:
    square = 8 * eighths
    buckets = bucket_sizes(square, step)
    assert (square, square) in buckets
    assert len(buckets) == len(set(buckets))
    for width, height in buckets:
        assert (height, width) in buckets
        assert width * height <= square**2
        assert (width, height) == (square, square) or width % step == height % step == 0
        assert max(width, height) <= 2 * square


def test_the_nearest_bucket_by_hand() -> None:
    assert nearest_bucket((512, 512), 512, 64) == (512, 512)
    assert nearest_bucket((1080, 810), 1024, 64) == (1152, 896)  # 1.333: 1.286 is nearer than 1.462
    assert nearest_bucket((810, 1080), 1024, 64) == (896, 1152)
    assert nearest_bucket((300, 200), 256, 64) == (320, 192)
    assert nearest_bucket((10000, 10), 512, 64) == (1024, 256)


@given(sizes, st.sampled_from([(256, 32), (512, 64), (1000, 64)]))
def test_turned_pictures_get_turned_buckets_and_buckets_are_their_own(size: Size, kind: tuple) -> None:
    width, height = nearest_bucket(size, *kind)
    assert (
        nearest_bucket((width, height), *kind)[0] * height
        == nearest_bucket((width, height), *kind)[1] * width
    )
    if size[0] != size[1]:
        assert nearest_bucket(size[::-1], *kind) == (height, width)


def test_an_inset_is_the_same_on_all_sides_of_a_turned_quad() -> None:
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    quad = quads_of([[0, 0, 50, 20]]) @ turn
    inner = draw_in(quad, 0.1)
    np.testing.assert_allclose(quad_sizes(inner), [[46, 16]])
    np.testing.assert_allclose(inner.mean(axis=1), quad.mean(axis=1))
    np.testing.assert_allclose(draw_in(inner, -0.125), quad, atol=1e-9)  # a tenth of 20 is an eighth of 16
    assert draw_in(quad[:0], 0.1).shape == (0, 4, 2)
