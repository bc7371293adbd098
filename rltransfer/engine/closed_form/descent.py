"""Steps of Adam on a flat vector, which an interrupt leaves whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
        self._divided = False
        self._adam = AdamState(trained, optimizer, settings.lr_scale)

    def run(self, epochs: Callable[[], T]) -> T:
        """Run the epochs; what they reached is written back, whatever ends them."""
        network = self._network
        network.read()
        network.state.steps, network.state.skipped = 0, {}
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

    def divide(self, owners: Mapping[str, frozenset[int]]) -> None:
        """Let parameters step apart, by the tasks whose rows reach them.

        Args:
            owners: Tasks by parameter name; absent if all do.
        """
        if not self._divided:
            self._adam.divide(owners)
            self._divided = True

    def step(self, present: frozenset[int] = frozenset()) -> None:
        """Clip the gradient and take one step of Adam.

        Args:
            present: Tasks with rows, once parameters step apart: those that no row reaches have a
                gradient of 0 here and none in torch, so they and their moments stay as they are.
        """
        network, adam = self._network, self._adam
        old, new = network.state, network.spare
        stretches = [(run, self.gradient[run.start : run.stop]) for run in adam.runs]
        norm = math.sqrt(sum(float(gradient.dot(gradient)) for _, gradient in stretches))
        scale = self._settings.max_grad_norm / (norm + 1e-6)
        # Not min(1, scale), which hides that a norm is not a number.
        scale = 1.0 if scale > 1 else float(scale)
        np.multiply(self.gradient, scale, out=self._clipped)
        skipped = old.skipped
        for run, gradient in stretches:
            before, after = old.within(run.start, run.stop), new.within(run.start, run.stop)
            if present and run.owners and not run.owners & present:
                for given, kept in zip(before, after, strict=True):
                    np.copyto(kept, given)
                skipped = {**skipped, run.start: skipped.get(run.start, 0) + 1}
                continue
            steps = old.steps - skipped.get(run.start, 0)
            rates = adam.rates(run, self._settings.learning_rate, steps)
            network.kernels.adam(*before, *after, gradient, scale, *rates)
        new.steps, new.skipped = old.steps + 1, skipped
        network.switch()

    def _write(self) -> None:
        state = self._network.state
        weights, first, second = state.views
        self._order.write(weights, self._trained)
        if state.steps:
            self._adam.write(first, second, state.steps, state.skipped)
            self._order.write_gradients(self._clipped, self._trained)
