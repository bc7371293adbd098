"""Steps of Adam on a flat vector, which an interrupt leaves whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from rltransfer.engine.closed_form.optimizer import AdamState
from rltransfer.engine.closed_form.segments import FlatVector, Segment
from rltransfer.engine.records import Settings

T = TypeVar("T")


class Descent:
    """The steps of one update.

    Args:
        network: What is updated: its states alternate.
        layout: Of the network.
        trained: Parameters that train.
        optimizer: Their ``torch.optim.Adam``.
        settings: Hyperparameters.

    Attributes:
        gradient: To be filled before each step, a flat vector.
    """

    def __init__(
        self,
        network: Any,
        layout: FlatVector,
        trained: Sequence[Segment],
        optimizer: Any,
        settings: Settings,
    ) -> None:
        self._network = network
        self._order = layout
        self._trained = trained
        self._settings = settings
        self.gradient = np.zeros(layout.size, layout.dtype)
        self._clipped = np.zeros_like(self.gradient)
        self._adam = AdamState(trained, optimizer, settings.lr_scale)

    def run(self, epochs: Callable[[], T]) -> T:
        """Run the epochs; what they reached is written back, whatever ends them."""
        network = self._network
        network.read()
        network.state.steps = 0
        self._adam.read(*network.state.views[1:])
        try:
            try:
                with np.errstate(all="ignore"):
                    return epochs()
            finally:
                self._write()
        except BaseException:
            self._write()  # an interrupt may have come while writing
            raise

    def step(self) -> None:
        """Clip the gradient and take one step of Adam."""
        network, adam = self._network, self._adam
        old, new = network.state, network.spare
        stretches = [(run, self.gradient[run.start : run.stop]) for run in adam.runs]
        norm = math.sqrt(sum(float(gradient.dot(gradient)) for _, gradient in stretches))
        scale = self._settings.max_grad_norm / (norm + 1e-6)
        # Not min(1, scale), which hides that a norm is not a number.
        scale = 1.0 if scale > 1 else float(scale)
        np.multiply(self.gradient, scale, out=self._clipped)
        for run, gradient in stretches:
            network.kernels.adam(
                *old.within(run.start, run.stop),
                *new.within(run.start, run.stop),
                gradient,
                scale,
                *adam.rates(run, self._settings.learning_rate, old.steps),
            )
        new.steps = old.steps + 1
        network.switch()

    def _write(self) -> None:
        state = self._network.state
        weights, first, second = state.views
        self._order.write(weights, self._trained)
        self._adam.write(first, second, state.steps)
        if state.steps:
            self._order.write_gradients(self._clipped, self._trained)
