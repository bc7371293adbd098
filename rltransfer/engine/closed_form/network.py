"""An actor-critic MLP with its moments."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.closed_form.head import Head
from rltransfer.engine.closed_form.layout import Layout
from rltransfer.engine.closed_form.tower import Tower


class State:
    """Weights and Adam's moments, as flat vectors and as views for each layer.

    Attributes:
        weights: The parameters.
        first: Their first moments.
        second: Their second moments.
        actor: Matrices of the actor's layers.
        critic: Matrices of the critic's layers.
        log_std: Logarithm of the standard deviation; empty for discrete actions.
        steps: Steps since the update began.
    """

    def __init__(self, layout: Layout) -> None:
        self.weights, self.first, self.second = np.zeros((3, layout.size), layout.dtype)
        self.actor = [layer.of(self.weights) for layer in layout.actor]
        self.critic = [layer.of(self.weights) for layer in layout.critic]
        self.log_std = layout.log_std_of(self.weights)
        self.steps = 0

    def within(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights and both moments of a stretch."""
        return self.weights[start:stop], self.first[start:stop], self.second[start:stop]


class Network:
    """An actor, a critic and an action distribution.

    A step goes from the live state to the spare one, and then switches: so whatever interrupts it,
    the live state is that after whole minibatches.
    """

    def __init__(self, layout: Layout, head: Head, kernels: Any) -> None:
        self.layout = layout
        self.head = head
        self.kernels = kernels
        self.actor = Tower(layout.actor, layout.dtype, kernels)
        self.critic = Tower(layout.critic, layout.dtype, kernels)
        self._states = (State(layout), State(layout))
        self._live = 0

    @property
    def state(self) -> State:
        """The live state."""
        return self._states[self._live]

    @property
    def spare(self) -> State:
        """The state that the next step fills."""
        return self._states[1 - self._live]

    def switch(self) -> None:
        """Make the spare state the live one."""
        self._live = 1 - self._live

    def read(self) -> None:
        """Take the weights from the policy."""
        for state in self._states:  # both, as a step fills in those that train alone
            self.layout.read(state.weights)

    def check(self, outputs: np.ndarray) -> None:
        """Refuse what torch's distributions refuse.

        Raises:
            ValueError: Outputs of the actor are not numbers, or its deviations are not above 0.
        """
        bad, rows = np.count_nonzero(np.isnan(outputs).any(axis=0)), outputs.shape[1]
        if bad:
            raise ValueError(f"the actor's outputs are not numbers in {bad} of {rows} rows")
        log_std = self.state.log_std
        if not (np.exp(log_std) > 0).all():
            raise ValueError(f"log_std is {log_std.tolist()}: standard deviations must be above 0")
