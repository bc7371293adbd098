"""How much the states of one task are like those of another."""

from __future__ import annotations

import numpy as np

RIDGE = 1e-3
STEPS = 25


def density_ratio(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Ratio of the densities of target and source at the states of the source.

    A logistic classifier between the two, on the columns and their squares, which is exact for
    normal distributions with independent columns.

    Args:
        target: States of the target, shape (T, columns).
        source: States of the source, shape (S, columns).

    Returns:
        ``d / (1 - d) * S / T`` for each state of the source, shape (S,), where ``d`` is the
        probability that it is one of the target's.
    """
    both = np.concatenate([target, source]).astype(np.float64)
    center, spread = both.mean(axis=0), both.std(axis=0) + 1e-8
    plain = (both - center) / spread
    rows = np.column_stack([np.ones(len(both)), plain, plain**2])
    is_target = np.arange(len(both)) < len(target)
    logits = rows[len(target) :] @ logistic_regression(rows, is_target)
    return np.exp(np.clip(logits, -50, 50)) * len(source) / len(target)


def logistic_regression(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit weights by Newton's method, with an L2 penalty on their mean loss.

    Args:
        rows: Shape (N, columns), with a column of ones.
        labels: Shape (N,), of booleans.

    Returns:
        Weights of the logits, shape (columns,).
    """
    weights, penalty = np.zeros(rows.shape[1]), RIDGE * np.eye(rows.shape[1])
    penalty[0, 0] = 1e-9  # the column of ones
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -50, 50)))
        slope = rows.T @ (chance - labels) / len(rows) + penalty @ weights
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows / len(rows) + penalty
        step = np.linalg.solve(bend, slope)
        # Newton's steps overshoot where all is nearly certain.
        weights -= step * min(1.0, 5.0 / (np.abs(step).max() + 1e-12))
    return weights


def effective_samples(weights: np.ndarray) -> float:
    """Number of equally weighted samples that tell as much: ``(sum w)^2 / sum w^2``."""
    return float(weights.sum() ** 2 / np.square(weights).sum())
