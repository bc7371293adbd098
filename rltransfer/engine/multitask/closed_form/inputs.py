"""Packed observations as the encoders take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.multitask.closed_form.rows import Parts
from rltransfer.policies.observation_stats import CLIP, EPSILON


class Inputs:
    """Brings the numbers of each task in front of a one, which multiplies the biases.

    Args:
        policy: A policy for which :func:`unsupported` has no objection.
        dtype: Of its parameters.

    Attributes:
        width: Numbers of a row: the largest observation, and a one.
    """

    def __init__(self, policy: Any, dtype: np.dtype) -> None:
        self._policy = policy
        self._dtype = dtype
        self._sizes = list(policy.packing.sizes)
        self._statistics: list[tuple[np.ndarray, np.ndarray] | None] = []
        self.width = max(self._sizes) + 1

    def read(self) -> None:
        """Take the statistics of observations from the policy."""
        found = {
            name: (
                np.array(one.mean.cpu().numpy(), self._dtype),
                np.sqrt(np.asarray(one.var.cpu().numpy(), self._dtype) + EPSILON),
            )
            for name, one in self._policy.observation_stats.items()
        }
        self._statistics = [found.get(task.encoder) for task in self._policy.tasks]

    def empty(self, parts: Parts) -> np.ndarray:
        """Make room for rows of these tasks, shape (n, width), with the ones in place."""
        room = np.zeros((parts[-1][2] if parts else 0, self.width), self._dtype)
        for task, start, stop in parts:
            room[start:stop, self._sizes[task]] = 1
        return room

    def fill(self, room: np.ndarray, observations: np.ndarray, parts: Parts) -> None:
        """Write packed observations, which are sorted by task, into their room."""
        for task, start, stop in parts:
            size, known = self._sizes[task], self._statistics[task]
            own = observations[start:stop, 1 : 1 + size]
            room[start:stop, :size] = own if known is None else _normalized(own, *known)

    def pack(self, observations: np.ndarray, parts: Parts) -> np.ndarray:
        """Bring packed observations, which are sorted by task, into shape (n, width)."""
        room = self.empty(parts)
        self.fill(room, observations, parts)
        return room


def _normalized(numbers: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    scaled = (numbers - mean) / deviation
    return np.minimum(np.maximum(scaled, -CLIP), CLIP)
