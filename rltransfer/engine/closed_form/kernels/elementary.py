"""Functions of the parameters of distributions."""

from __future__ import annotations

import math

import numpy as np

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, shape (choices, rows)."""
    shifted = logits - np.maximum.reduce(logits)
    shifted -= np.log(np.add.reduce(np.exp(shifted)))
    return shifted


def softplus(logits: np.ndarray) -> np.ndarray:
    """Compute log(1 + exp(x)) without overflow."""
    return np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Compute 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-logits))
