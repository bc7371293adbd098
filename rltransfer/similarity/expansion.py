"""Features of observations and actions on which linear models see more than means."""

from __future__ import annotations

import numpy as np

WIDEST = 16
"""Number of inputs up to which all of their products are taken."""


def quadratic(inputs: np.ndarray) -> np.ndarray:
    """Inputs with their products, so that a linear model can tell spreads and interactions.

    Args:
        inputs: Shape (n, width).

    Returns:
        Inputs, then squares and products, shape (n, width + width * (width + 1) / 2); of more than
        :data:`WIDEST` inputs the squares alone, shape (n, 2 * width).
    """
    width = inputs.shape[1]
    if width > WIDEST:
        return np.hstack([inputs, inputs**2])
    i, j = np.triu_indices(width)
    return np.hstack([inputs, inputs[:, i] * inputs[:, j]])


def standardized(*samples: np.ndarray) -> list[np.ndarray]:
    """Shift and scale samples by the mean and the deviation of all of them together.

    Args:
        *samples: Shapes (n, width), (m, width), ...

    Returns:
        The same shapes; columns that do not vary become 0.
    """
    pooled = np.concatenate(samples)
    mean, std = pooled.mean(axis=0), pooled.std(axis=0)
    scale = np.where(std > 1e-8 * (1 + np.abs(mean)), std, np.inf)
    return [(sample - mean) / scale for sample in samples]
