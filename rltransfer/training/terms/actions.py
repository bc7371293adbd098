"""Action distributions as tensors: to be stored by row, picked, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from torch import Tensor
from torch.nn.functional import logsigmoid

from rltransfer.errors import RecipeError


@dataclass(frozen=True, eq=False)
class Actions:
    """Action distributions of N states.

    Attributes:
        sizes: Number of choices of each categorical part; (1, ...) for independent coins; empty
            for normal distributions.
        outputs: Logits, or means; shape (N, outputs).
        log_std: Logarithm of the standard deviations, shape (N, outputs); None for logits.
    """

    sizes: tuple[int, ...]
    outputs: Tensor
    log_std: Tensor | None = None

    @classmethod
    def of(cls, distribution: Any) -> Actions:
        """Read a distribution of Stable-Baselines3, with gradients where it has them.

        Raises:
            RecipeError: It is none of those that policies of PPO have.
        """
        if isinstance(distribution, DiagGaussianDistribution | StateDependentNoiseDistribution):
            normal = distribution.distribution
            return cls((), normal.mean, normal.stddev.log().expand_as(normal.mean))
        if isinstance(distribution, CategoricalDistribution):
            logits = distribution.distribution.logits
            return cls((logits.shape[-1],), logits)
        if isinstance(distribution, MultiCategoricalDistribution):
            parts = [one.logits for one in distribution.distribution]
            return cls(tuple(part.shape[-1] for part in parts), torch.cat(parts, dim=-1))
        if isinstance(distribution, BernoulliDistribution):
            logits = distribution.distribution.logits
            return cls((1,) * logits.shape[-1], logits)
        raise RecipeError(
            f"methods that compare actions do not know the {type(distribution).__name__} of this "
            "policy: use a Discrete, MultiDiscrete, MultiBinary or Box action space"
        )

    def take(self, index: Tensor) -> Actions:
        """Pick states, by their numbers, shape (B,)."""
        log_std = None if self.log_std is None else self.log_std.index_select(0, index)
        return Actions(self.sizes, self.outputs.index_select(0, index), log_std)

    @classmethod
    def concatenated(cls, parts: Sequence[Actions]) -> Actions:
        """Put the states of several together, one after the other."""
        log_std = [part.log_std for part in parts if part.log_std is not None]
        outputs = torch.cat([part.outputs for part in parts])
        return cls(parts[0].sizes, outputs, torch.cat(log_std) if log_std else None)

    def detach(self) -> Actions:
        """Cut off gradients."""
        log_std = None if self.log_std is None else self.log_std.detach()
        return Actions(self.sizes, self.outputs.detach(), log_std)

    def log_parts(self) -> list[Tensor]:
        """Log probabilities of each categorical part, shape (N, choices); coins have two sides.

        Raises:
            ValueError: These are normal distributions.
        """
        if self.log_std is not None:
            raise ValueError("normal distributions have no log probabilities of choices")
        parts = self.outputs.split(self.sizes, dim=-1)
        return [_two_sides(part) if part.shape[-1] == 1 else part.log_softmax(-1) for part in parts]


def _two_sides(logit: Tensor) -> Tensor:
    return torch.cat([logsigmoid(logit), logsigmoid(-logit)], dim=-1)


def kl(p: Actions, q: Actions) -> Tensor:
    """Kullback-Leibler divergence KL(p || q) of each state, shape (N,).

    Independent parts and dimensions add up. Squashing actions changes nothing.
    """
    if p.log_std is not None and q.log_std is not None:
        ratio = (2 * (p.log_std - q.log_std)).exp()
        distance = ((p.outputs - q.outputs) * (-q.log_std).exp()).square()
        return 0.5 * (ratio + distance - 1 - ratio.log()).sum(-1)
    pairs = zip(p.log_parts(), q.log_parts(), strict=True)
    return torch.stack([(one.exp() * (one - other)).sum(-1) for one, other in pairs]).sum(0)
