"""Against torchmetrics, and against what published scripts gave for the same fixture.

The scripts: clean-fid 0.1.35 (``fid.py``), cmmd-pytorch (``distance.py``), vendi-score 0.0.3 (``vendi.py``).
"""

import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.bootstrap import bootstrap_set, resampling_weights
from skin_pipeline.evaluation.distribution import (
    CMMD_SCALE,
    frechet_distance,
    gaussian_kernels,
    polynomial_kernels,
    sample_size_warning,
    weighted_pair_mean,
)
from skin_pipeline.evaluation.diversity import cosine_distances, mean_distance, vendi_score


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 16)), rng.normal(0.3, 1.2, size=(60, 16))


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_frechet_distance_equals_clean_fid(sets):
    assert frechet_distance(*sets) == pytest.approx(5.669975009138838, abs=1e-4)


def test_frechet_distance_equals_torchmetrics(sets):
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Pass(torch.nn.Module):
        num_features = 16

        def forward(self, x):
            return x

    reference = FrechetInceptionDistance(Pass(), input_img_size=(1, 1, 16)).set_dtype(torch.float64)
    for features, is_real in zip(sets, (False, True), strict=True):
        reference.update(torch.from_numpy(features), real=is_real)
    assert frechet_distance(*sets) == pytest.approx(float(reference.compute()), abs=1e-4)


def test_kernel_distance_equals_clean_fid_and_torchmetrics(sets):
    import torch
    from torchmetrics.image.kid import poly_mmd

    generated, real = sets[0], sets[1][:40]  # their subsets are of one size
    expected = float(poly_mmd(torch.from_numpy(generated), torch.from_numpy(real)))
    ours = polynomial_kernels(generated, real).unbiased()
    assert ours == pytest.approx(expected, abs=1e-4)
    assert ours == pytest.approx(0.2096275134208092, abs=1e-4)


def test_cmmd_equals_its_published_script(sets):
    ours = CMMD_SCALE * gaussian_kernels(*map(unit, sets)).biased()
    assert ours == pytest.approx(1.073791413678249, abs=1e-4)


def test_vendi_score_equals_its_library(sets):
    assert vendi_score(sets[0]) == pytest.approx(13.703031176011066, abs=1e-4)


@pytest.mark.parametrize("number", [40, 5])  # more and fewer pictures than features
def test_a_set_is_at_no_distance_from_itself(sets, number):
    features = sets[0][:number]
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert gaussian_kernels(features, features).biased() == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_a_shift_is_its_square(sets):
    assert frechet_distance(sets[0], sets[0] + 2.0) == pytest.approx(16 * 4.0, abs=1e-9)


def test_frechet_distance_of_a_stretch_is_known():
    """Variances 1 and 9, means 0: (1 - 3)² in each direction."""
    features = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]) * np.sqrt(1.5)
    assert frechet_distance(features, 3 * features) == pytest.approx(2 * 4.0, abs=1e-9)


def test_kernel_distance_is_unbiased():
    """Halves of one population are at distance 0 on average, above and below."""
    rng = np.random.default_rng(3)
    values = [polynomial_kernels(*rng.normal(size=(2, 20, 8))).unbiased() for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_order_changes_nothing(sets):
    generated, real = sets
    rng = np.random.default_rng(1)
    shuffled = generated[rng.permutation(40)], real[rng.permutation(60)]
    for measure in (
        frechet_distance,
        lambda *pair: polynomial_kernels(*pair).unbiased(),
        lambda *pair: gaussian_kernels(*pair).biased(),
    ):
        assert measure(*shuffled) == pytest.approx(measure(*sets), abs=1e-9)
    assert vendi_score(shuffled[0]) == pytest.approx(vendi_score(generated), abs=1e-9)
    assert mean_distance(shuffled[0]) == pytest.approx(mean_distance(generated), abs=1e-9)


def test_weights_stand_for_copies(sets):
    generated, real = sets[0][:12], sets[1][:12]
    weights = np.array([2.0] * 4 + [0.0] * 4 + [1.0] * 4)
    copies = np.repeat(generated, weights.astype(int), axis=0)
    assert frechet_distance(generated, real, weights) == pytest.approx(frechet_distance(copies, real))
    assert vendi_score(generated, weights) == pytest.approx(vendi_score(copies))
    kernels = gaussian_kernels(generated, real)
    assert kernels.biased(weights) == pytest.approx(gaussian_kernels(copies, real).biased())


def test_a_picture_drawn_twice_makes_no_pair_with_itself():
    values = np.array([[100.0, 1.0], [1.0, 100.0]])
    assert weighted_pair_mean(values, np.array([2.0, 1.0])) == pytest.approx(1.0)


def test_too_few_pictures():
    with pytest.raises(InputError, match="1 generated and 5 real"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))
    assert sample_size_warning(500, 600, 64) is None
    assert "86 pictures, 256 features" in (sample_size_warning(100, 86, 256) or "")


def test_vendi_score_counts_different_pictures():
    assert vendi_score(np.ones((6, 3))) == pytest.approx(1.0)
    assert vendi_score(np.eye(6)) == pytest.approx(6.0)
    assert vendi_score(np.eye(6)[[0, 0, 1, 1]]) == pytest.approx(2.0)


def test_distances_of_directions_are_known():
    distances = cosine_distances(np.array([[1.0, 0], [0, 3], [-2, 0]]))
    np.testing.assert_allclose(distances, [[0, 1, 2], [1, 0, 1], [2, 1, 0]], atol=1e-12)
    assert mean_distance(np.array([[1.0, 0], [0, 3], [-2, 0]])) == pytest.approx(4 / 3)


def test_whole_skins_are_redrawn():
    groups = ["b", "a", "b", "c"]
    weights = resampling_weights(groups, 500, seed=1)
    assert weights.shape == (500, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])  # both pictures of skin b
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    again = resampling_weights(["c", "b", "a", "b"], 500, seed=1)
    np.testing.assert_array_equal(again, weights[:, [3, 0, 1, 2]])


def test_the_interval_of_a_set_lies_about_its_estimate():
    interval = bootstrap_set(10.0, np.linspace(20, 40, 1001), num_samples=7)
    assert (interval.estimate, interval.num_samples) == (10.0, 7)
    assert interval.low == pytest.approx(10 - 9.5, abs=0.05)
    assert interval.high == pytest.approx(10 + 9.5, abs=0.05)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Pairs of dependent pictures a skin; true mean square 1; 95 % intervals of 25 skins."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        values = np.repeat(rng.normal(size=25), 2)
        groups = [str(i // 2) for i in range(50)]
        weights = resampling_weights(groups, 200, seed=int(rng.integers(1 << 30)))
        figures = weights @ values / weights.sum(axis=1)
        interval = bootstrap_set(float(values.mean()), figures, 25)
        hits += interval.low <= 0.0 <= interval.high
    assert 0.87 < hits / 200 < 0.98
