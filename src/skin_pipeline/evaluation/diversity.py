"""How unlike each other generated pictures are, in some space of features.

A model that learned too few pictures by heart, or whose control leaves it no freedom, draws the same again
and again; adherence and legends do not show it. Features are those of
:mod:`skin_pipeline.evaluation.features`, compared by the cosine of their angle.
"""

import numpy as np
import numpy.typing as npt

from skin_pipeline.evaluation.distribution import Features, Weights


def vendi_score(features: Features, weights: Weights | None = None) -> float:
    """Return the effective number of different pictures (Friedman and Dieng 2023).

    The exponential of the entropy of the eigenvalues of K / N, where K holds the cosines of the features.

    Args:
        features: (N, D), none of them 0.
        weights: (N,), how often each picture counts; once if not given.

    Returns:
        From 1 (all alike) to N (all at right angles). It grows with N, so two figures compare only at the
        same number of pictures.
    """
    shares = np.full(len(features), 1 / len(features)) if weights is None else weights / weights.sum()
    roots = np.linalg.svd(_unit(features) * np.sqrt(shares)[:, None], compute_uv=False)
    eigenvalues = np.square(roots)
    positive = eigenvalues[eigenvalues > np.finfo(np.float64).eps]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def cosine_distances(features: Features) -> npt.NDArray[np.float64]:
    """Return 1 - cosine for every pair, (N, N), each from 0 to 2, of features (N, D)."""
    unit = _unit(features)
    distances: npt.NDArray[np.float64] = np.clip(1 - unit @ unit.T, 0.0, 2.0)
    np.fill_diagonal(distances, 0.0)
    return distances


def mean_distance(features: Features) -> float:
    """Return the mean cosine distance of pairs of different pictures, from 0 to 2; N is at least 2."""
    distances = cosine_distances(features)
    return float(distances.sum() / (len(distances) * (len(distances) - 1)))


def _unit(features: Features) -> Features:
    unit: Features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit
