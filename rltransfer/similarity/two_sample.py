"""Whether a classifier can tell the observations of two tasks apart."""

from __future__ import annotations

import numpy as np

from rltransfer.similarity.expansion import quadratic, standardized

PENALTY = 1.0
NEWTON_STEPS = 25
FOLDS = 4


def classifier_auc(first: np.ndarray, second: np.ndarray) -> float:
    """Area under the ROC curve of a classifier that tells two samples apart.

    A ridge-regularized logistic regression on :func:`quadratic` features, fitted on three quarters
    of the trajectories of both samples, says how much the others look like the second; four times,
    so that each is judged once.

    Args:
        first: Observations in trajectories, shape (trajectories, steps, width), at least two.
        second: The same shape but for the steps.

    Returns:
        From 0.5 (it cannot tell) to 1 (always); noise may take it below 0.5.

    Source:
        Lopez-Paz and Oquab 2017, section 3, with the AUC for the accuracy.
    """
    flat = standardized(_rows(first), _rows(second))
    features = [quadratic(part).reshape(*sample.shape[:2], -1)
                for part, sample in zip(flat, (first, second), strict=True)]  # fmt: skip
    folds = np.arange(len(first)) % min(FOLDS, len(first))
    areas = [_fold(*features, held=folds == fold) for fold in np.unique(folds)]
    return float(np.mean(areas))


def _fold(first: np.ndarray, second: np.ndarray, held: np.ndarray) -> float:
    inputs = np.concatenate([_rows(first[~held]), _rows(second[~held])])
    labels = np.repeat([0.0, 1.0], [first[~held][..., 0].size, second[~held][..., 0].size])
    weights = logistic(inputs, labels)
    return area(*(_rows(part[held]) @ weights[1:] for part in (first, second)))


def _rows(sample: np.ndarray) -> np.ndarray:
    return sample.reshape(-1, sample.shape[-1])


def logistic(inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit a logistic regression with an L2 penalty on all weights but the bias, by Newton's method.

    Args:
        inputs: Shape (n, width).
        labels: 0 or 1, shape (n,).

    Returns:
        Bias and weights, shape (1 + width,).
    """
    x = np.hstack([np.ones((len(inputs), 1)), inputs])
    penalty = np.diag(np.r_[1e-9, np.full(inputs.shape[1], PENALTY)])
    weights = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (labels - chance) - penalty @ weights
        curvature = (x * (chance * (1 - chance))[:, None]).T @ x + penalty
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def area(low: np.ndarray, high: np.ndarray) -> float:
    """Probability that one of ``high`` exceeds one of ``low``; ties count half (Mann-Whitney).

    Args:
        low: Scores, shape (n,).
        high: Scores, shape (m,).
    """
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left")
    upto = np.searchsorted(ordered, high, "right")
    return float((below + upto).mean() / (2 * len(low)))
