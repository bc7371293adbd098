"""How alike two networks represent the same inputs."""

from __future__ import annotations

import numpy as np


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centered kernel alignment: ``|Y'X|_F^2 / (|X'X|_F |Y'Y|_F)``, columns centered.

    Args:
        first: Features of n inputs, shape (n, width).
        second: Features of the same inputs, shape (n, any width).

    Returns:
        From 0 (nothing in common) to 1 (equal up to rotation and scale); nan if one is constant.

    Source:
        Kornblith et al. 2019, section 3.
    """
    x, y = (part - part.mean(axis=0) for part in (first.astype(float), second.astype(float)))
    length = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / length) if length > 0 else float("nan")
