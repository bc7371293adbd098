"""Weights and moments that are always those after whole minibatches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np

from rltransfer.engine.closed_form.segments import FlatVector, Views


class State:
    """Weights and Adam's moments, as flat vectors.

    Attributes:
        weights: The parameters.
        first: Their first moments.
        second: Their second moments.
        views: Segments of these three.
        steps: Steps since the update began.
        skipped: How many of them a stretch did without, by its first place; see
            :class:`rltransfer.engine.closed_form.optimizer.Run`.
    """

    def __init__(self, layout: FlatVector) -> None:
        self.weights, self.first, self.second = np.zeros((3, layout.size), layout.dtype)
        self.views: tuple[Views, Views, Views] = (
            layout.views(self.weights),
            layout.views(self.first),
            layout.views(self.second),
        )
        self.steps = 0
        self.skipped: Mapping[int, int] = {}

    def within(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights and both moments of a stretch."""
        return self.weights[start:stop], self.first[start:stop], self.second[start:stop]


S = TypeVar("S", bound=State)


class Alternating(Generic[S]):
    """Two states in turn.

    A step goes from the live state to the spare one, and then switches: so whatever interrupts it,
    the live state is that after whole minibatches.

    Args:
        layout: Of the flat vectors.
        states: Both.
    """

    def __init__(self, layout: FlatVector, states: tuple[S, S]) -> None:
        self._order = layout
        self._states = states
        self._live = 0

    @property
    def state(self) -> S:
        """The live state."""
        return self._states[self._live]

    @property
    def spare(self) -> S:
        """The state that the next step fills."""
        return self._states[1 - self._live]

    def switch(self) -> None:
        """Make the spare state the live one."""
        self._live = 1 - self._live

    def read(self) -> None:
        """Take the weights from the policy."""
        self._order.read(self.state.views[0])
        # A step fills in those that train alone.
        np.copyto(self.spare.weights, self.state.weights)


def check_outputs(outputs: np.ndarray, log_std: np.ndarray) -> None:
    """Refuse what torch's distributions refuse.

    Args:
        outputs: Of the actor, shape (outputs, rows).
        log_std: Logarithm of the standard deviation; empty for discrete actions.

    Raises:
        ValueError: Outputs are not numbers, or deviations are not above 0.
    """
    bad, rows = np.count_nonzero(np.isnan(outputs).any(axis=0)), outputs.shape[1]
    if bad:
        raise ValueError(f"the actor's outputs are not numbers in {bad} of {rows} rows")
    if not (np.exp(log_std) > 0).all():
        raise ValueError(f"log_std is {log_std.tolist()}: standard deviations must be above 0")
