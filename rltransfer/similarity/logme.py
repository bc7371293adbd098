"""Evidence that features explain a number linearly."""

from __future__ import annotations

import math

import numpy as np

ROUNDS = 200
USELESS = -0.5 * (math.log(2 * math.pi) + 1)
"""Evidence of features that do not vary: of a standard normal whose rows' mean square is 1."""


def logme(features: np.ndarray, targets: np.ndarray) -> float:
    """Logarithm of maximum evidence: how well features explain a number, without overfitting.

    The evidence of ``y ~ N(F w, 1 / beta)`` with ``w ~ N(0, 1 / alpha)``, at the ``alpha`` and
    ``beta`` that maximize it, per row. Features are centered and ``y`` is standardized, so that the
    level and scale of the returns of a task do not count.

    Args:
        features: Shape (n, width).
        targets: Shape (n,).

    Returns:
        Nats per row: -1.42 for useless features, more for better ones; nan for constant targets.

    Source:
        You et al. 2021, section 4 and algorithm 1 (by fixed-point iteration).
    """
    spread = targets.std()
    if not spread > 1e-12:
        return float("nan")
    y = (targets - targets.mean()) / spread
    f = features.astype(float) - features.mean(axis=0)
    basis, lengths, _ = np.linalg.svd(f, full_matrices=False)
    if not (lengths**2).any():
        return USELESS
    return _maximum(lengths**2, (basis.T @ y) ** 2, float(y @ y), *f.shape)


def _maximum(
    eigenvalues: np.ndarray, along: np.ndarray, total: float, rows: int, width: int
) -> float:
    """Maximize the evidence, given the targets' squared lengths along the features' axes."""
    alpha = beta = 1.0
    best = -math.inf
    for _ in range(ROUNDS):
        shrunk = alpha + beta * eigenvalues
        squared_weight = float((beta**2 * eigenvalues * along / shrunk**2).sum())
        residual = total - float(along.sum()) + float((along * (alpha / shrunk) ** 2).sum())
        evidence = _evidence(alpha, beta, shrunk, squared_weight, residual, rows, width)
        if evidence <= best + 1e-9:
            break
        best = evidence
        effective = float((beta * eigenvalues / shrunk).sum())
        alpha = effective / max(squared_weight, 1e-12)
        beta = (rows - effective) / max(residual, 1e-12)
    return best


def _evidence(
    alpha: float,
    beta: float,
    shrunk: np.ndarray,
    squared_weight: float,
    residual: float,
    rows: int,
    width: int,
) -> float:
    # Axes without a feature keep the prior's determinant, which cancels its factor.
    determinant = np.log(shrunk).sum() + (width - len(shrunk)) * math.log(alpha)
    total = rows * math.log(beta) + width * math.log(alpha) - rows * math.log(2 * math.pi)
    return float(total - beta * residual - alpha * squared_weight - determinant) / (2 * rows)
