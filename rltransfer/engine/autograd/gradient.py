"""The gradient of one minibatch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from rltransfer.engine.autograd.loss import Losses, ppo_loss
from rltransfer.engine.autograd.minibatches import Minibatch, Minibatches
from rltransfer.engine.features import evaluate_features
from rltransfer.engine.records import Settings
from rltransfer.engine.terms import Evaluated, Terms


class Gradient:
    """Computes losses of minibatches and their gradients.

    Args:
        policy: The policy.
        optimizer: Its optimizer, which forgets gradients.
        batches: The rollout.
        settings: Hyperparameters.
        terms: What is added to the loss; None for nothing.

    Attributes:
        parameters: All parameters of the policy.
    """

    def __init__(
        self,
        policy: Any,
        optimizer: Optimizer,
        batches: Minibatches,
        settings: Settings,
        terms: Terms | None = None,
    ) -> None:
        self.policy = policy
        self.optimizer = optimizer
        self.batches = batches
        self.settings = settings
        self.terms = terms
        self.parameters: list[Tensor] = list(policy.parameters())

    def losses(self, rows: Any, index: Tensor) -> Losses:
        """Evaluate the policy on a minibatch.

        Args:
            rows: Row numbers, shape (B,).
            index: The same on the device.
        """
        batch = self.batches.take(rows, index)
        values, log_prob, entropy = self._evaluate(batch)
        losses = ppo_loss(values, log_prob, entropy, batch, self.settings)
        if self.terms is None:
            return losses
        added = self.terms.loss(Evaluated(self.policy, batch, index, values, log_prob))
        return losses if added is None else losses._replace(total=losses.total + added)

    def backward(self, losses: Losses) -> None:
        """Leave the clipped gradient of the loss in the parameters."""
        self.optimizer.zero_grad()
        losses.total.backward()
        if self.terms is not None:
            self.terms.differentiated()
        clip_grad_norm_(self.parameters, self.settings.max_grad_norm)

    def step(self) -> None:
        """Take a step along it."""
        self.optimizer.step()
        if self.terms is not None:
            self.terms.stepped()

    def _evaluate(self, batch: Minibatch) -> tuple[Tensor, Tensor, Tensor | None]:
        front = self.batches.front
        if front is None or batch.activations is None:
            return self.policy.evaluate_actions(batch.observations, batch.actions)
        return evaluate_features(self.policy, front.finish(batch.activations), batch.actions)
