"""What may be added to the loss of PPO, and done around its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from rltransfer.engine.autograd.minibatches import Minibatch


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What one minibatch of B rows gave, before its gradient is taken.

    Attributes:
        policy: The policy.
        batch: The rows.
        index: Their numbers in the rollout, shape (B,), on the device.
        values: Values, shape (B, 1).
        log_prob: Log probabilities of their actions, shape (B,).
    """

    policy: Any
    batch: Minibatch
    index: Tensor
    values: Tensor
    log_prob: Tensor


class Terms(Protocol):
    """The additions of one model."""

    def loss(self, evaluated: Evaluated) -> Tensor | None:
        """Give what is added to the loss of a minibatch, a scalar; None for nothing."""
        ...

    def differentiated(self) -> None:
        """Change gradients, before they are clipped."""
        ...

    def stepped(self) -> None:
        """Change weights, after a step of the optimizer."""
        ...
