import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.bootstrap import bootstrap_mean, bootstrap_ratio

VALUES = np.random.default_rng(3).normal(0.4, 0.1, size=60)


def test_it_agrees_with_scipy():
    ours = bootstrap_mean(VALUES, num_resamples=20_000)
    theirs = scipy_bootstrap(
        (VALUES,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert ours.estimate == pytest.approx(VALUES.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-3)


def test_neither_order_nor_a_second_run_changes_anything():
    assert bootstrap_mean(VALUES) == bootstrap_mean(VALUES[::-1])
    pairs = np.stack([VALUES, VALUES**2], axis=1)
    shuffled = np.random.default_rng(0).permutation(pairs)
    assert bootstrap_ratio(*pairs.T) == bootstrap_ratio(*shuffled.T)


def test_equal_values_have_no_width():
    interval = bootstrap_mean([0.25] * 10)
    assert (interval.low, interval.estimate, interval.high, interval.num_samples) == (0.25, 0.25, 0.25, 10)
    assert str(interval) == "0.250 [0.250, 0.250] (n=10)"


def test_a_constant_ratio_is_known_exactly_because_pairs_stay_together():
    interval = bootstrap_ratio(3 * VALUES, VALUES)
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((3, 3, 3))


def test_a_ratio_to_nothing_is_infinite():
    interval = bootstrap_ratio([0.5, 0.4], [0.0, 0.0])
    assert interval.estimate == interval.low == interval.high == np.inf


def test_a_wider_confidence_gives_a_wider_interval():
    narrow, wide = bootstrap_mean(VALUES, confidence=0.5), bootstrap_mean(VALUES, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_values_that_cannot_be_averaged_are_refused():
    with pytest.raises(InputError, match="got none"):
        bootstrap_mean([])
    with pytest.raises(InputError, match="1 of 2 values"):
        bootstrap_mean([1.0, float("nan")])
    with pytest.raises(InputError, match="2 and 1 values"):
        bootstrap_ratio([1.0, 2.0], [1.0])
