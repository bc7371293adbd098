"""Maximum mean discrepancy between the observations of two tasks."""

from __future__ import annotations

import numpy as np

from rltransfer.similarity.expansion import standardized

ROWS = 400
"""Observations of each sample that are compared with each other, evenly spread over it."""


def mmd(first: np.ndarray, second: np.ndarray) -> float:
    """Squared maximum mean discrepancy with a Gaussian kernel.

    ``mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`` over all pairs, with
    ``k(x, y) = exp(-|x - y|^2 / m)``, where ``m`` is the median squared distance in both samples
    together; observations are standardized first.

    Args:
        first: Shape (n, width).
        second: Shape (m, width).

    Returns:
        From 0 (equal samples) to 2.

    Source:
        Gretton et al. 2012, equation 5 (the biased estimate) and section 8 (the median).
    """
    x, y = (_spread(part) for part in standardized(first, second))
    pooled = np.concatenate([x, y])
    squares = _squared_distances(pooled)
    apart = squares[np.triu_indices(len(pooled), 1)]
    median = float(np.median(apart)) or float(apart.mean()) or 1.0
    kernel, n = np.exp(-squares / median), len(x)
    within = kernel[:n, :n].mean() + kernel[n:, n:].mean()
    return max(0.0, float(within - 2 * kernel[:n, n:].mean()))


def _spread(sample: np.ndarray) -> np.ndarray:
    return sample[np.linspace(0, len(sample) - 1, min(ROWS, len(sample))).round().astype(int)]


def _squared_distances(points: np.ndarray) -> np.ndarray:
    lengths = (points**2).sum(axis=1)
    return np.maximum(lengths[:, None] + lengths - 2 * points @ points.T, 0)
