"""Terms that make outputs change little where observations do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.methods import DrAC, Smoothing
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.augment import (
    SHIFT,
    is_image,
    is_vector,
    require_vector,
    scaled,
    shifted,
    unit,
)
from rltransfer.training.terms.fading import FadingTerm
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Batch, Seen, Term
from rltransfer.training.terms.weights import require_actor

Change = Callable[[Tensor, Tensor], Tensor]
"""From observations and what a change of 1 means, to changed observations."""


class SmoothingTerm(FadingTerm):
    """Divergence of actions under the worst small change of an observation.

    Args:
        method: The method.
    """

    def __init__(self, method: Smoothing) -> None:
        super().__init__(method)
        self._method = method

    def begin(self, seen: Seen) -> None:
        """Note how far observations may be changed."""
        super().begin(seen)
        self._limit = self._method.eps * unit(seen.model, seen.observations)

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the mean divergence; gradients flow through both distributions."""
        worst = batch.observations + self._worst(batch)
        return kl(batch.distribution, Actions.of(batch.policy.get_distribution(worst))).mean()

    def _worst(self, batch: Batch) -> Tensor:
        seen, fixed = batch.observations, batch.distribution.detach()
        # The divergence has no slope where nothing is changed.
        change = self._limit * (2 * torch.rand_like(seen) - 1)
        for _ in range(self._method.steps):
            change.requires_grad_(True)
            found = Actions.of(batch.policy.get_distribution(seen + change))
            (slope,) = torch.autograd.grad(kl(fixed, found).sum(), change)
            # From any start, the steps reach any corner.
            step = 2 * self._limit / self._method.steps * slope.sign()
            change = (change.detach() + step).clamp(-self._limit, self._limit)
        return change


class DrACTerm(FadingTerm):
    """Divergence of actions, and distance of values, under random changes of observations.

    Args:
        method: The method.
        change: The changes.
    """

    def __init__(self, method: DrAC, change: Change) -> None:
        super().__init__(method)
        self._change = change

    def begin(self, seen: Seen) -> None:
        """Note what a change of 1 means."""
        super().begin(seen)
        vectors = is_vector(seen.model.observation_space)
        self._unit = unit(seen.model, seen.observations) if vectors else torch.ones(())

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the mean of both; what the policy says of unchanged observations is fixed."""
        changed = self._change(batch.observations, self._unit)
        actions = Actions.of(batch.policy.get_distribution(changed))
        values = batch.policy.predict_values(changed).flatten()
        apart = 0.5 * (batch.values.detach() - values).square()
        return (kl(batch.distribution.detach(), actions) + apart).mean()


def change_of(method: DrAC, space: Any) -> Change:
    """Make the random changes of observations.

    Args:
        method: Which.
        space: The policy's observation space.

    Raises:
        RecipeError: Observations are neither vectors nor images, or not those that the changes
            are for.
    """
    kind = method.augment
    if kind == "auto":
        kind = "shift" if is_image(space) else "scale"
    if kind == "shift":
        return _shift(method.size, space)
    require_vector(method, space)
    if kind == "scale":
        width = 0.2 if method.size is None else method.size
        return lambda seen, unit: scaled(seen, width)
    deviation = 0.1 if method.size is None else method.size
    return lambda seen, unit: seen + deviation * unit * torch.randn_like(seen)


def _shift(size: float | None, space: Any) -> Change:
    if not is_image(space):
        raise RecipeError(
            f"DrAC(augment='shift') shifts images, and observations are {space}: choose 'scale' "
            "or 'noise'"
        )
    most = max(1, round(SHIFT * space.shape[-1])) if size is None else int(size)
    return lambda seen, unit: shifted(seen, most)


@term_of.register
def _(method: Smoothing, setting: Setting) -> Term:
    require_actor(method, setting.model)
    require_vector(method, setting.model.observation_space)
    return SmoothingTerm(method)


@term_of.register
def _(method: DrAC, setting: Setting) -> Term:
    return DrACTerm(method, change_of(method, setting.model.observation_space))
