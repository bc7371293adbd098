"""Terms that act on weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.methods import L1, L2, L2SP, L2Init, Parseval
from rltransfer.training.terms.closed import ByWeights, ClosedTerm
from rltransfer.training.terms.fading import FadingTerm
from rltransfer.training.terms.pull import FadingPull, Pulled
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Batch, Seen, Term
from rltransfer.training.terms.weights import require_actor, trained


class L1Term(FadingTerm, ClosedTerm):
    """Absolute values of weights.

    Args:
        method: The method.
        weights: Parameters by name.
    """

    def __init__(self, method: L1, weights: Mapping[str, Tensor]) -> None:
        super().__init__(method)
        self._weights = dict(weights)

    def loss(self, batch: Batch) -> Tensor:
        """Give their sum."""
        return _total(one.abs() for one in self._weights.values())

    def by_weights(self, weights: Mapping[str, np.ndarray]) -> ByWeights:
        """Give the same of the weights that train, with its gradients."""
        own = {name: one for name, one in weights.items() if name in self._weights}
        loss = sum(float(np.abs(one).sum()) for one in own.values())
        return loss, {name: np.sign(one) for name, one in own.items()}


class L2InitTerm(FadingPull):
    """Half the squared distance from where weights were before the first update.

    Args:
        method: The method.
        weights: Parameters by name.
    """

    def __init__(self, method: L2Init, weights: Mapping[str, Tensor]) -> None:
        super().__init__(method, [])
        self._weights = dict(weights)
        self._origin: dict[str, Tensor] = {}

    def begin(self, seen: Seen) -> None:
        """Remember the weights when it is called first, since more than copying comes before."""
        super().begin(seen)
        if not self._origin:
            self.restore(self._weights)

    def state(self) -> dict[str, Tensor]:
        """Where weights were."""
        return self._origin

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it over."""
        own = self._weights
        self._origin = {name: one.detach().to(own[name], copy=True) for name, one in state.items()}
        self.pull([Pulled(name, own[name], one) for name, one in self._origin.items()])


class ParsevalTerm(FadingTerm, ClosedTerm):
    """Squared distance of hidden layers from orthogonality.

    Args:
        method: The method.
        weights: Matrices and kernels by name, the first axis that of the outputs.
    """

    def __init__(self, method: Parseval, weights: Mapping[str, Tensor]) -> None:
        super().__init__(method)
        self._scale = method.scale
        self._weights = dict(weights)

    def loss(self, batch: Batch) -> Tensor:
        """Give the sum over layers."""
        return _total(self._departure(one.flatten(1)) for one in self._weights.values())

    def by_weights(self, weights: Mapping[str, np.ndarray]) -> ByWeights:
        """Give the same of the matrices that train, with its gradients."""
        loss, gradients = 0.0, {}
        for name, weight in weights.items():
            if name in self._weights:
                wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
                apart = wide @ wide.T - self._scale * np.eye(len(wide), dtype=weight.dtype)
                gradient = 4 * apart @ wide
                gradients[name] = gradient if wide is weight else gradient.T
                loss += float(np.square(apart).sum())
        return loss, gradients

    def _departure(self, weight: Tensor) -> Tensor:
        wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
        return (wide @ wide.T - self._scale * torch.eye(len(wide)).to(wide)).square()


def _total(parts: Iterable[Tensor]) -> Tensor:
    return sum((part.sum() for part in parts), torch.zeros(()))


@term_of.register
def _(method: L2SP, setting: Setting) -> Term:
    # The strength of fresh weights is relative to that of the copied ones, which fades for both.
    share = method.fresh / method.strength
    require_actor(method, setting.model)
    pulled, copied = [], False
    for name, one in setting.parameters().items():
        known = setting.from_source(name)
        weight = torch.where(known, 1.0, share).to(one)
        pulled.append(Pulled(name, one, torch.where(known, one.detach(), 0.0), weight))
        copied = copied or bool(known.any())
    if not copied:
        raise RecipeError(
            "L2SP() pulls weights towards the source's, and the recipe copies none of trunk and "
            "actor: copy some, or use L2()"
        )
    return FadingPull(method, pulled)


@term_of.register
def _(method: L2, setting: Setting) -> Term:
    weights = trained(method, setting.model, critic=method.critic)
    return FadingPull(method, [Pulled(name, one, 0.0) for name, one in weights.items()])


@term_of.register
def _(method: L1, setting: Setting) -> Term:
    return L1Term(method, trained(method, setting.model, critic=method.critic))


@term_of.register
def _(method: L2Init, setting: Setting) -> Term:
    return L2InitTerm(method, trained(method, setting.model))


@term_of.register
def _(method: Parseval, setting: Setting) -> Term:
    weights = trained(method, setting.model, heads=False)
    return ParsevalTerm(method, {name: one for name, one in weights.items() if one.dim() >= 2})
