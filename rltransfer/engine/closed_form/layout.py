"""The parameters of an actor-critic MLP in one flat vector."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from rltransfer.engine.closed_form.activations import activation_of
from rltransfer.engine.closed_form.segments import FlatVector, Layer


class Layout(FlatVector):
    """Order of a policy's parameters in one flat vector.

    Attributes:
        actor: Layers from features to the parameters of the action distribution.
        critic: Layers from features to the value.
        log_std: Logarithm of the standard deviation; None for discrete actions.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        extractor = policy.mlp_extractor
        self.actor = self._tower(
            "mlp_extractor.policy_net", extractor.policy_net, "action_net", policy.action_net
        )
        log_std = getattr(policy, "log_std", None)
        self.log_std = None if log_std is None else self._append("log_std", log_std)
        self.critic = self._tower(
            "mlp_extractor.value_net", extractor.value_net, "value_net", policy.value_net
        )

    def log_std_of(self, flat: np.ndarray) -> np.ndarray:
        """View its logarithm of the standard deviation, which is empty for discrete actions."""
        return flat[:0] if self.log_std is None else self.log_std.of(flat)

    def _tower(self, path: str, net: nn.Sequential, head_name: str, head: Any) -> list[Layer]:
        pairs = zip(list(net)[::2], list(net)[1::2], strict=True)
        hidden = [
            self._layer(f"{path}.{2 * i}", linear, activation_of(after))
            for i, (linear, after) in enumerate(pairs)
        ]
        return [*hidden, self._layer(head_name, head, None)]
