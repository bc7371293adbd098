"""The action distribution of one task on top of its head's outputs."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from torch import Tensor

from rltransfer.policies.noise import CorrelatedNoise
from rltransfer.policies.packing import action_size
from rltransfer.policies.tasks import PolicyTask

# Far below any logit, and finite, so that its product with probability 0 is 0.
EXCLUDED = -1e8


class ActionDistribution:
    """Sampling, log probability and entropy over a task's own action dimensions only.

    Args:
        task: The task.
        noise: Exploration noise for ``sample``; None for white noise.
    """

    def __init__(self, task: PolicyTask, noise: CorrelatedNoise | None) -> None:
        self.space: Any = task.action_space
        self.size = action_size(self.space)
        self.noise = noise
        self._distribution, self.outputs = _distribution(self.space)

    def sample(
        self, outputs: Tensor, log_std: Tensor | None, mask: Tensor | None, *, explore: bool
    ) -> Tensor:
        """Draw actions, shape (n, components).

        Args:
            outputs: Of the head, shape (n, outputs).
            log_std: Of continuous actions, shape (components,).
            mask: Valid actions, shape (n, flags); None without masks.
            explore: Whether continuous actions follow the task's correlated noise.
        """
        if explore and self.noise is not None and log_std is not None:
            white = torch.randn(outputs.shape, dtype=outputs.dtype, device=outputs.device)
            mixed = torch.from_numpy(self.noise.mix(white.cpu().numpy())).to(outputs)
            return outputs + log_std.exp() * mixed
        return self._shaped(self._of(outputs, log_std, mask).sample())

    def mode(self, outputs: Tensor, log_std: Tensor | None, mask: Tensor | None) -> Tensor:
        """Most likely actions, shape (n, components)."""
        return self._shaped(self._of(outputs, log_std, mask).mode())

    def evaluate(
        self, outputs: Tensor, log_std: Tensor | None, mask: Tensor | None, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log probabilities of actions, shape (n, components), and entropies; each shape (n,)."""
        distribution = self._of(outputs, log_std, mask)
        own = actions[:, : self.size]
        discrete = not isinstance(self.space, spaces.Box | spaces.MultiBinary)
        own = own.long() if discrete else own
        own = own[:, 0] if isinstance(self.space, spaces.Discrete) else own
        log_prob, entropy = distribution.log_prob(own), distribution.entropy()
        return log_prob, log_prob.new_zeros(len(log_prob)) + entropy

    def _of(self, outputs: Tensor, log_std: Tensor | None, mask: Tensor | None) -> Any:
        if log_std is not None:
            return self._distribution.proba_distribution(outputs, log_std)
        if mask is not None:
            outputs = self._masked(outputs, mask)
        return self._distribution.proba_distribution(action_logits=outputs)

    def _masked(self, logits: Tensor, mask: Tensor) -> Tensor:
        valid = mask > 0.5
        if isinstance(self.space, spaces.MultiBinary):
            off, on = valid.reshape(len(valid), -1, 2).unbind(-1)
            logits = torch.where(on, logits, torch.full_like(logits, EXCLUDED))
            return torch.where(off, logits, torch.full_like(logits, -EXCLUDED))
        return torch.where(valid, logits, torch.full_like(logits, EXCLUDED))

    def _shaped(self, actions: Tensor) -> Tensor:
        return actions.reshape(len(actions), -1)


def _distribution(space: Any) -> tuple[Any, int]:
    if isinstance(space, spaces.Box):
        return DiagGaussianDistribution(action_size(space)), action_size(space)
    if isinstance(space, spaces.Discrete):
        return CategoricalDistribution(int(space.n)), int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return MultiCategoricalDistribution(space.nvec.tolist()), int(space.nvec.sum())
    return BernoulliDistribution(int(space.n)), int(space.n)
