"""Intervals for a metric of a set of pictures.

Percentile bootstrap (Efron 1979): draw as many pictures as there are, with replacement, many times; the
interval holds the middle share of the means. What is resampled must be independent: average the pictures of
one skin (its seeds and prompts) before coming here, and pass one value a skin. Figures of a whole set (a
distance of distributions, a diversity) are computed anew for each redrawn set: :func:`bootstrap_set`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skin_pipeline.errors import InputError


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float
    num_samples: int
    """Independent samples it was computed from; an interval of a few samples is too narrow."""

    def __str__(self) -> str:
        """Return ``0.412 [0.390, 0.433] (n=64)``."""
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.num_samples})"


def bootstrap_mean(
    values: Sequence[float], confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean of ``values`` with its percentile bootstrap interval.

    Args:
        values: One value an independent sample; their order changes nothing.
        confidence: Share of the resampled means inside the interval, in (0, 1).
        num_resamples: How often the set is redrawn.
        seed: Seed of the draws; the same seed and values give the same interval.

    Raises:
        InputError: There are no values, or some are not finite.
    """
    samples = np.sort(_finite(values))
    return _interval(samples[:, None], lambda means: means[..., 0], confidence, num_resamples, seed)


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return mean(numerators) / mean(denominators) for values paired by sample, with its interval.

    Pairs are drawn together, so that what makes a sample hard for both sides cancels.

    Args:
        numerators: One value an independent sample.
        denominators: The other side's value of the same samples, in the same order.
        confidence: Share of the resampled ratios inside the interval, in (0, 1).
        num_resamples: How often the set is redrawn.
        seed: Seed of the draws.

    Returns:
        The ratio; infinite where the denominators' mean is 0.

    Raises:
        InputError: The two differ in length, are empty, or hold values that are not finite.
    """
    if len(numerators) != len(denominators):
        raise InputError(f"A ratio needs pairs, got {len(numerators)} and {len(denominators)} values.")
    pairs = np.stack([_finite(numerators), _finite(denominators)], axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return _interval(pairs, _ratio, confidence, num_resamples, seed)


def resampling_weights(groups: Sequence[str], num_resamples: int, seed: int = 0) -> np.ndarray:
    """Redraw a set of pictures, whole skins at a time.

    Args:
        groups: The skin of each of N pictures.
        num_resamples: How often.
        seed: Seed of the draws.

    Returns:
        (num_resamples, N): how often each picture was drawn.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=num_resamples)
    return draws[:, index].astype(np.float64)


def bootstrap_set(
    estimate: float, redrawn: Sequence[float], num_samples: int, confidence: float = 0.95
) -> Interval:
    """Return a figure of a whole set with the interval that redrawn sets give it.

    A redrawn set repeats some pictures and lacks others, which shifts such a figure always in one direction
    (fewer different pictures, a larger distance). The interval is therefore as wide as the middle share of
    the redrawn figures and lies about the estimate as they lie about their mean.

    Args:
        estimate: Of the set itself.
        redrawn: Of the sets redrawn by :func:`resampling_weights`.
        num_samples: Independent samples: skins.
        confidence: Share of the redrawn figures inside the interval, in (0, 1).

    Raises:
        InputError: There are no redrawn figures, or some are not finite.
    """
    figures = _finite(redrawn)
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures - figures.mean(), [tail, 1 - tail], method="inverted_cdf")
    return Interval(estimate, estimate + float(low), estimate + float(high), num_samples)


def _interval(
    samples: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    confidence: float,
    num_resamples: int,
    seed: int,
) -> Interval:
    """Bootstrap a statistic of column means; ``samples`` is (N, columns)."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(samples), size=(num_resamples, len(samples)))
    statistics = statistic(samples[draws].mean(axis=1))
    tail = (1 - confidence) / 2
    # method="inverted_cdf" returns one of the resampled values, so infinite ratios do not turn into NaN
    low, high = np.quantile(statistics, [tail, 1 - tail], method="inverted_cdf")
    return Interval(float(statistic(samples.mean(axis=0))), float(low), float(high), len(samples))


def _ratio(means: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = means[..., 0] / means[..., 1]
    return np.where(means[..., 1] == 0, np.inf, ratio)


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise InputError("A mean needs at least one value, got none.")
    if not np.isfinite(array).all():
        raise InputError(f"{int((~np.isfinite(array)).sum())} of {array.size} values are not finite.")
    return array
