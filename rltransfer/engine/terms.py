"""What may be added to the loss of PPO, and done around its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
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

    @property
    def closed(self) -> bool:
        """Whether the gradients of all of them are written out.

        Closed form then takes ``at_outputs`` and ``at_weights`` instead of the other three.
        """
        ...

    def loss(self, evaluated: Evaluated) -> Tensor | None:
        """Give what is added to the loss of a minibatch, a scalar; None for nothing."""
        ...

    def differentiated(self) -> None:
        """Change gradients, before they are clipped."""
        ...

    def stepped(self) -> None:
        """Change weights, after a step of the optimizer."""
        ...

    def at_outputs(
        self,
        rows: np.ndarray,
        outputs: np.ndarray,
        log_std: tuple[np.ndarray, np.ndarray],
        delta: np.ndarray,
    ) -> float:
        """Add to the gradient of a minibatch by the actor's outputs.

        Args:
            rows: Numbers of the B rows in the rollout.
            outputs: Logits or means, shape (outputs, B).
            log_std: Logarithm of the standard deviations, empty for logits, and the gradient by it.
            delta: The gradient by the outputs, of their shape.

        Returns:
            What it adds to the loss.
        """
        ...

    def at_weights(
        self, weights: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray]
    ) -> float:
        """Add to the gradients by the weights that train, by name of the parameter.

        Returns:
            What it adds to the loss.
        """
        ...
