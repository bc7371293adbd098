"""Packed observations as the encoders take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.multitask.closed_form.layout import TaskLayout
from rltransfer.engine.multitask.closed_form.rows import Parts
from rltransfer.policies.observation_stats import CLIP, EPSILON


class Inputs:
    """Brings the numbers of each task in front of a one, which multiplies the biases.

    They lie at the beginning of their row, or where the task's encoder finds them among the inputs
    of all encoders, with zeros for the others: a block.

    Args:
        policy: A policy for which :func:`unsupported` has no objection.
        layout: Its parameters.
    """

    def __init__(self, policy: Any, layout: TaskLayout) -> None:
        self._policy = policy
        self._dtype = layout.dtype
        self._sizes = list(policy.packing.sizes)
        self._statistics: list[tuple[np.ndarray, np.ndarray] | None] = []
        self._widths = {False: max(self._sizes) + 1, True: layout.actor.block_inputs}
        self._places = {False: [0] * len(self._sizes), True: layout.actor.places}

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

    def empty(self, parts: Parts, *, block: bool) -> np.ndarray:
        """Make room for rows of these tasks, shape (n, inputs), with the ones in place."""
        room = np.zeros((parts[-1][2] if parts else 0, self._widths[block]), self._dtype)
        for task, start, stop in parts:
            room[start:stop, self._places[block][task] + self._sizes[task]] = 1
        return room

    def fill(
        self, room: np.ndarray, observations: np.ndarray, parts: Parts, *, block: bool
    ) -> None:
        """Write packed observations, which are sorted by task, into their room."""
        for task, start, stop in parts:
            size, place, known = (
                self._sizes[task],
                self._places[block][task],
                self._statistics[task],
            )
            own = observations[start:stop, 1 : 1 + size]
            own = own if known is None else _normalized(own, *known)
            room[start:stop, place : place + size] = own

    def pack(self, observations: np.ndarray, parts: Parts, *, block: bool) -> np.ndarray:
        """Bring packed observations, which are sorted by task, into shape (n, inputs)."""
        room = self.empty(parts, block=block)
        self.fill(room, observations, parts, block=block)
        return room


def _normalized(numbers: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    scaled = (numbers - mean) / deviation
    return np.minimum(np.maximum(scaled, -CLIP), CLIP)
