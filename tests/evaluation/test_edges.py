import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.edges import (
    controlnet_plus_plus_edges,
    controlnet_plus_plus_f1,
    edge_agreement,
    ms_ssim,
    outlines,
)
from skin_pipeline.geometry import quads_of
from skin_pipeline.prep.positions import show_positions


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
    with_positions = show_positions(conditioning, quads_of([(6, 6, 30, 24)]))
    np.testing.assert_array_equal(outlines(with_positions), boundary)


def some_maps(seed, size=(176, 200)):
    """Lines that half agree."""
    rng = np.random.default_rng(seed)
    wanted = np.zeros(size, np.uint8)
    wanted[::20] = 255
    found = wanted.copy()
    found[:, ::25] = 255
    found[rng.random(size) < 0.02] = 0
    return found, wanted


def test_f1_equals_torchmetrics():
    import torch
    from torchmetrics.functional.classification import binary_f1_score

    maps, wanted = [some_maps(seed)[0] for seed in range(4)], some_maps(0)[1]
    reference = binary_f1_score(
        torch.from_numpy(np.stack(maps) // 255).flatten(),
        torch.from_numpy(np.stack([wanted] * 4) // 255).flatten(),
    )
    assert controlnet_plus_plus_f1(maps, wanted) == pytest.approx(float(reference), abs=1e-6)


def test_ms_ssim_equals_torchmetrics_on_a_batch():
    """As ControlNet++ calls it: all pictures of a condition at once; ours is the mean of one by one."""
    import torch
    from torchmetrics.image import MultiScaleStructuralSimilarityIndexMeasure

    pairs = [some_maps(seed) for seed in range(4)]
    stacks = [torch.from_numpy(np.stack(some) / 255).float()[:, None] for some in zip(*pairs, strict=True)]
    reference = MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)(*stacks)
    assert np.mean([ms_ssim(*pair) for pair in pairs]) == pytest.approx(float(reference), abs=1e-4)


def test_ms_ssim_of_equal_maps_is_1_and_of_small_ones_refused():
    found, _ = some_maps(0)
    assert ms_ssim(found, found) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(InputError, match="at least 176 px"):
        ms_ssim(found[:175], found[:175])


def test_controlnet_plus_plus_edges_are_those_of_the_colour_picture():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 30:] = (0, 0, 90)  # too faint in grey, clear in blue
    edges = controlnet_plus_plus_edges(picture)
    assert edges.shape == (40, 60)
    assert edges[5:-5, 28:32].any(axis=1).all()
    assert np.count_nonzero(edges) == 40
