"""Observations and actions of any space as rows of numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs

WIDEST = 64
"""Numbers of a row; longer ones, such as images, are projected at random."""


def flat(space: spaces.Space, batch: Any) -> np.ndarray:
    """Flatten n observations or actions: classes are one-hot, images are divided by 255.

    Args:
        space: Their space.
        batch: An array (n, ...), or a dict of such.

    Returns:
        A new array (n, width) of at most :data:`WIDEST` columns.
    """
    rows = _rows(space, batch)
    return rows @ _projection(rows.shape[1]) if rows.shape[1] > WIDEST else rows


def alike(first: spaces.Space, second: spaces.Space) -> bool:
    """Whether rows of two spaces have the same columns; bounds may differ."""
    return _layout(first) == _layout(second)


def _rows(space: spaces.Space, batch: Any) -> np.ndarray:
    if isinstance(space, spaces.Dict):
        parts = [_rows(part, batch[key]) for key, part in space.spaces.items()]
        return np.concatenate(parts, axis=1)
    rows = np.asarray(batch)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        rows = rows - space.start  # classes are counted from 0
    read: Any = preprocess_obs(torch.as_tensor(rows), space)
    return read.reshape(len(read), -1).double().numpy().copy()


@cache
def _projection(width: int) -> np.ndarray:
    """Gaussian projection, the same for all tasks; it keeps distances (Johnson-Lindenstrauss)."""
    return np.random.default_rng(width).normal(size=(width, WIDEST)) / WIDEST**0.5


def _layout(space: spaces.Space) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _layout(part) for key, part in space.spaces.items()}
    sizes = np.asarray(getattr(space, "nvec", getattr(space, "n", 0))).tolist()
    return type(space), space.shape, sizes
