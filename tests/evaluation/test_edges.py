import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.edges import controlnet_plus_plus_f1, edge_agreement, outlines


def line(column: int, size: int = 32) -> np.ndarray:
    edges = np.zeros((size, size), np.uint8)
    edges[:, column] = 255
    return edges


@pytest.mark.parametrize("tolerance_px", [0, 2])
def test_identity_agrees_perfectly(tolerance_px):
    edges = (np.random.default_rng(0).random((40, 50)) < 0.1).astype(np.uint8) * 255
    agreement = edge_agreement(edges, edges, tolerance_px)
    assert (agreement.precision, agreement.recall, agreement.f1) == (1.0, 1.0, 1.0)
    assert agreement.num_found == agreement.num_wanted == np.count_nonzero(edges)


@pytest.mark.parametrize(
    ("shift_px", "tolerance_px", "f1"), [(1, 0, 0.0), (1, 2, 1.0), (2, 2, 1.0), (3, 2, 0.0)]
)
def test_a_shifted_line_matches_within_the_tolerance_only(shift_px, tolerance_px, f1):
    assert edge_agreement(line(10 + shift_px), line(10), tolerance_px).f1 == f1


def test_the_tolerance_is_a_distance_not_a_square():
    found, wanted = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    wanted[4, 4] = found[6, 6] = True  # sqrt(8) = 2.8 px apart
    assert edge_agreement(found, wanted, 2).f1 == 0.0
    assert edge_agreement(found, wanted, 3).f1 == 1.0


def test_extra_edges_cost_precision_and_missing_ones_recall():
    both = line(5) | line(20)
    extra = edge_agreement(both, line(5))
    missing = edge_agreement(line(5), both)
    assert (extra.precision, extra.recall) == (0.5, 1.0)
    assert (missing.precision, missing.recall) == (1.0, 0.5)
    assert extra.f1 == missing.f1 == pytest.approx(2 / 3)


def test_noise_has_recall_but_no_precision():
    noise = np.ones((32, 32), bool)
    agreement = edge_agreement(noise, line(10))
    assert agreement.recall == 1.0
    assert agreement.precision == 5 / 32  # the line and two pixels on each side


def test_at_no_tolerance_it_is_the_f1_of_a_classification_of_pixels():
    rng = np.random.default_rng(1)
    found, wanted = rng.random((24, 31)) < 0.3, rng.random((24, 31)) < 0.2
    tp, fp, fn = (found & wanted).sum(), (found & ~wanted).sum(), (~found & wanted).sum()
    agreement = edge_agreement(found, wanted, 0)
    assert agreement.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-12)
    assert controlnet_plus_plus_f1([found], wanted) == pytest.approx(agreement.f1, abs=1e-12)


def test_controlnet_plus_plus_pools_the_pixels_of_one_conditioning_image():
    wanted = line(10)
    halves = [line(10), line(20)]  # TP 32 and 0, FP 0 and 32, FN 0 and 32
    assert controlnet_plus_plus_f1(halves, wanted) == 64 / (64 + 32 + 32)
    assert controlnet_plus_plus_f1(halves[::-1], wanted) == controlnet_plus_plus_f1(halves, wanted)
    assert controlnet_plus_plus_f1([np.zeros((4, 4))], np.zeros((4, 4))) == 0.0


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [(0, 0, (1.0, 1.0, 1.0)), (0, 1, (1.0, 0.0, 0.0)), (1, 0, (0.0, 1.0, 0.0))],
)
def test_empty_maps(found, wanted, expected):
    agreement = edge_agreement(np.full((8, 8), found), np.full((8, 8), wanted))
    assert (agreement.precision, agreement.recall, agreement.f1) == expected


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(InputError, match="found 8x4 px, wanted 4x4 px"):
        edge_agreement(np.zeros((4, 8)), np.zeros((4, 4)))
    with pytest.raises(InputError, match="shape"):
        edge_agreement(np.zeros((4, 8, 3)), np.zeros((4, 8, 3)))


def test_outlines_keep_lines_and_hollow_glyphs():
    conditioning = line(3)
    conditioning[10:20, 12:24] = 255
    boundary = outlines(conditioning)
    assert boundary[:, 3].all()
    assert boundary[10:20, 12:24].sum() == 2 * 12 + 2 * 8
    assert not boundary[12:18, 14:22].any()
    np.testing.assert_array_equal(outlines(np.stack([conditioning] * 3, axis=2)), boundary)
