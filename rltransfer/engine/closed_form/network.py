"""An actor-critic MLP with its moments."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.closed_form.head import Head
from rltransfer.engine.closed_form.layout import Layout
from rltransfer.engine.closed_form.state import Alternating, State, check_outputs
from rltransfer.engine.closed_form.tower import Tower


class TowerState(State):
    """Weights and Adam's moments, with views for each layer.

    Attributes:
        actor: Matrices of the actor's layers.
        critic: Matrices of the critic's layers.
        log_std: Logarithm of the standard deviation; empty for discrete actions.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.actor = [layer.of(self.weights) for layer in layout.actor]
        self.critic = [layer.of(self.weights) for layer in layout.critic]
        self.log_std = layout.log_std_of(self.weights)


class Network(Alternating[TowerState]):
    """An actor, a critic and an action distribution."""

    def __init__(self, layout: Layout, head: Head, kernels: Any) -> None:
        super().__init__(layout, (TowerState(layout), TowerState(layout)))
        self.layout = layout
        self.head = head
        self.kernels = kernels
        self.actor = Tower(layout.actor, layout.dtype, kernels)
        self.critic = Tower(layout.critic, layout.dtype, kernels)

    def check(self, outputs: np.ndarray) -> None:
        """Refuse what torch's distributions refuse.

        Raises:
            ValueError: Outputs of the actor are not numbers, or its deviations are not above 0.
        """
        check_outputs(outputs, self.state.log_std)
