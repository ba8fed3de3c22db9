"""How far the distribution of generated pictures is from that of real ones, in some space of features.

Three distances, all 0 for equal sets, all of features (N, D) that :mod:`skin_pipeline.evaluation.features`
takes from the pictures:

* Fréchet distance (FID, Heusel et al. 2017): both sets are taken for Gaussians. Biased: it falls as pictures
  are added, and with fewer pictures than features the covariances are singular. Two figures compare only at
  the same number of pictures.
* Kernel distance (KID, Bińkowski et al. 2018): squared maximum mean discrepancy with a cubic polynomial
  kernel. Unbiased, so it may be slightly negative; the one to trust for small sets.
* CMMD (Jayasumana et al. 2024): the same with a Gaussian kernel, on CLIP's embeddings.

``weights`` says how often each picture counts, so that resampling (:mod:`skin_pipeline.evaluation.bootstrap`)
needs no copies; a pair of one picture with itself never counts in the unbiased estimates, however often
the picture was drawn.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skin_pipeline.errors import InputError

Features = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]

CMMD_SIGMA = 10.0
"""Bandwidth of CMMD's kernel, as published."""
CMMD_SCALE = 1000.0
"""Factor that makes CMMD readable, as published."""


def frechet_distance(
    generated: Features,
    real: Features,
    generated_weights: Weights | None = None,
    real_weights: Weights | None = None,
) -> float:
    """Return |m1 - m2|² + Tr(S1 + S2 - 2 (S1 S2)^½), with means m and unbiased covariances S.

    Tr (S1 S2)^½ is the sum of the singular values of A Bᵗ, where S1 = Aᵗ A and S2 = Bᵗ B. No root of a
    singular matrix is taken, so equal sets give 0 whatever their number.

    Args:
        generated: (N, D), N at least 2.
        real: (M, D), M at least 2.
        generated_weights: (N,), how often each counts; once if not given.
        real_weights: (M,).

    Returns:
        0 or more, in squared units of the features.

    Raises:
        InputError: There are fewer than two pictures on one side.
    """
    _check(generated, real)
    mean_1, root_1 = _mean_and_root(generated, _or_ones(generated, generated_weights))
    mean_2, root_2 = _mean_and_root(real, _or_ones(real, real_weights))
    common = np.linalg.svd(root_1 @ root_2.T, compute_uv=False).sum()
    spread = np.square(root_1).sum() + np.square(root_2).sum()
    return max(0.0, float(np.square(mean_1 - mean_2).sum() + spread - 2 * common))


@dataclass(frozen=True)
class Kernels:
    """The kernel's values within and between two sets; computed once, weighed often."""

    generated: npt.NDArray[np.float64]
    """(N, N)"""
    real: npt.NDArray[np.float64]
    """(M, M)"""
    between: npt.NDArray[np.float64]
    """(N, M)"""

    def unbiased(
        self, generated_weights: Weights | None = None, real_weights: Weights | None = None
    ) -> float:
        """Return the unbiased squared discrepancy (Gretton et al. 2012, equation 3)."""
        first = _or_ones(self.generated, generated_weights)
        second = _or_ones(self.real, real_weights)
        within = weighted_pair_mean(self.generated, first) + weighted_pair_mean(self.real, second)
        return within - 2 * self._mean_between(first, second)

    def biased(self, generated_weights: Weights | None = None, real_weights: Weights | None = None) -> float:
        """Return the biased one of least variance (equation 5), which is never below 0."""
        first = _or_ones(self.generated, generated_weights)
        second = _or_ones(self.real, real_weights)
        within = (first @ self.generated @ first) / first.sum() ** 2
        within += (second @ self.real @ second) / second.sum() ** 2
        return float(within) - 2 * self._mean_between(first, second)

    def _mean_between(self, first: Weights, second: Weights) -> float:
        return float(first @ self.between @ second / (first.sum() * second.sum()))


def polynomial_kernels(generated: Features, real: Features) -> Kernels:
    """Return KID's kernel (x·y / D + 1)³; :meth:`Kernels.unbiased` of it is the KID.

    The published figure averages subsets of 1000 pictures; this is the same estimate from all pictures at
    once, which has the same expectation and less variance.

    Args:
        generated: (N, D), N at least 2.
        real: (M, D), M at least 2.

    Raises:
        InputError: There are fewer than two pictures on one side.
    """
    _check(generated, real)
    scale = 1 / generated.shape[1]

    def kernel(one: Features, other: Features) -> Features:
        values: Features = (one @ other.T * scale + 1) ** 3
        return values

    return Kernels(kernel(generated, generated), kernel(real, real), kernel(generated, real))


def gaussian_kernels(generated: Features, real: Features, sigma: float = CMMD_SIGMA) -> Kernels:
    """Return CMMD's kernel exp(-|x - y|² / 2σ²).

    :data:`CMMD_SCALE` times :meth:`Kernels.biased` of it is the CMMD, if the features are CLIP's image
    embeddings of length 1.

    Args:
        generated: (N, D), N at least 2.
        real: (M, D), M at least 2.
        sigma: Bandwidth in units of the features.

    Raises:
        InputError: There are fewer than two pictures on one side.
    """
    _check(generated, real)

    def kernel(one: Features, other: Features) -> Features:
        squares = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)[None] - 2 * one @ other.T
        values: Features = np.exp(-np.maximum(squares, 0) / (2 * sigma**2))
        return values

    return Kernels(kernel(generated, generated), kernel(real, real), kernel(generated, real))


def weighted_pair_mean(values: npt.NDArray[np.float64], weights: Weights) -> float:
    """Return the mean over pairs of different pictures.

    Args:
        values: (N, N), a value a pair; the diagonal is not looked at.
        weights: (N,), how often each picture counts.
    """
    own = np.square(weights)
    total = float(weights @ values @ weights - own @ np.diagonal(values))
    return total / float(weights.sum() ** 2 - own.sum())


def sample_size_warning(num_generated: int, num_real: int, num_features: int) -> str | None:
    """Say what is wrong with a Fréchet distance of so few pictures; None where nothing is."""
    fewest = min(num_generated, num_real)
    if fewest > num_features:
        return None
    return (
        f"{fewest} pictures, {num_features} features: the covariance is singular and the distance too large;"
        " compare only at the same numbers of pictures, or use the kernel distance"
    )


def _mean_and_root(features: Features, weights: Weights) -> tuple[Features, Features]:
    """Return the mean (D,), and a matrix whose square is the covariance, (at most D, D)."""
    mean: Features = weights @ features / weights.sum()
    root = (features - mean) * np.sqrt(weights / (weights.sum() - 1))[:, None]
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return mean, root


def _or_ones(values: npt.NDArray[np.float64], weights: Weights | None) -> Weights:
    return np.ones(len(values)) if weights is None else weights


def _check(generated: Features, real: Features) -> None:
    if min(len(generated), len(real)) < 2:
        raise InputError(
            f"A distance of distributions needs at least 2 pictures on each side, got {len(generated)}"
            f" generated and {len(real)} real ones."
        )
