"""Terms that keep a network able to learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.methods import ReDo, ShrinkPerturb, SoftShrinkPerturb
from rltransfer.training.terms.closed import ClosedTerm
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Seen, Term
from rltransfer.training.terms.weights import fresh_weights, trained
from rltransfer.training.units import BOUNDED, RECTIFYING, Hidden, hidden_layers, outputs, some

ROWS = 4096
"""States from which units are judged, at most."""


@torch.no_grad()
def shrink_perturb(method: ShrinkPerturb, model: Any) -> str:
    """Shrink copied weights and perturb them by fresh ones, in place.

    Args:
        method: How much.
        model: A model that carries all it gets from its source. The global random streams stay as
            they are.

    Returns:
        What was done, in words.

    Raises:
        RecipeError: Nothing was copied that trains.
    """
    copied = [one for one in trained(method, model).items() if one[0] in model.transfer.origin]
    if not copied:
        raise RecipeError(
            "ShrinkPerturb changes weights of the source, and this recipe copies none that train: "
            "reset less, or drop it"
        )
    with torch.random.fork_rng(devices=[]):
        fresh = fresh_weights(model)
    for name, weight in copied:
        weight.mul_(method.shrink).add_(fresh[name], alpha=method.perturb)
    return f"copied ones that train times {method.shrink:g}, plus {method.perturb:g} of fresh ones"


class SoftShrinkPerturbTerm(ClosedTerm):
    """Moves weights towards fresh ones after each update.

    Args:
        method: The method.
        model: The model.
    """

    def __init__(self, method: SoftShrinkPerturb, model: Any) -> None:
        self.name = method.name
        self.strength = method.rate
        self._model = model
        self._weights = trained(method, model)

    @torch.no_grad()
    def end(self) -> Mapping[str, float]:
        """Move the weights that train now."""
        fresh = fresh_weights(self._model)
        for name, weight in self._weights.items():
            if weight.requires_grad:
                weight.lerp_(fresh[name], self.strength)
        return {}


class ReDoTerm(ClosedTerm):
    """Starts hidden units anew that do nothing.

    Args:
        method: The method.
        model: The model.
    """

    def __init__(self, method: ReDo, model: Any) -> None:
        self.name = method.name
        self._method = method
        self._model = model
        self._updates = 0
        self._observations: Any = None
        _check_units(hidden_layers(model.policy))
        trained(method, model)

    def begin(self, seen: Seen) -> None:
        """Keep some states."""
        self._updates += 1
        due = self._updates % self._method.every == 0
        self._observations = some(seen.observations, ROWS) if due else None

    @torch.no_grad()
    def end(self) -> Mapping[str, float]:
        """Start units anew if it is time; say how many of each net's."""
        if self._observations is None:
            return {}
        fresh, count = fresh_weights(self._model), 0
        said = outputs(self._model.policy, self._observations)
        for layer in hidden_layers(self._model.policy):
            idle = idle_units(layer.activation, said[layer.name], self._method.tau)
            if idle.any() and _trains(layer) and not self._explores(layer):
                self._renew(layer, idle, said[layer.name].mean(0), fresh)
                count += int(idle.sum())
        self._observations = None
        return {"units": float(count)}

    def _explores(self, layer: Hidden) -> bool:
        """Whether the policy's noise depends on these units (gSDE), which no bias makes up for."""
        policy = self._model.policy
        return bool(policy.use_sde) and layer.outgoing is policy.action_net

    def state(self) -> dict[str, Tensor]:
        """Number of updates."""
        return {"updates": torch.tensor(self._updates)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it over."""
        self._updates = int(state["updates"])

    def _renew(
        self, layer: Hidden, idle: Tensor, mean: Tensor, fresh: Mapping[str, Tensor]
    ) -> None:
        names = {id(one): name for name, one in self._model.policy.named_parameters()}
        into, out = layer.incoming, layer.outgoing
        if out.bias is not None:
            out.bias.add_(out.weight[:, idle] @ mean[idle])
        out.weight[:, idle] = 0
        self._forget(out.weight, (slice(None), idle))
        for parameter in into.parameters():
            parameter[idle] = fresh[names[id(parameter)]][idle]
            self._forget(parameter, (idle,))

    def _forget(self, parameter: Tensor, where: Any) -> None:
        """Clear moments, and leave counters alone."""
        state = self._model.policy.optimizer.state.get(parameter, {})
        for value in state.values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value[where] = 0


def idle_units(activation: Any, said: Tensor, tau: float) -> Tensor:
    """Tell which units of a layer do nothing.

    Args:
        activation: What they are made of.
        said: What they say in B states, shape (B, units).
        tau: Threshold, see :class:`rltransfer.methods.ReDo`.

    Returns:
        Shape (units,), of booleans.
    """
    if isinstance(activation, BOUNDED):
        return said.mean(0).abs() >= 1 - tau
    size = said.abs().mean(0)
    return size <= tau * size.mean()


def _trains(layer: Hidden) -> bool:
    parameters = [*layer.incoming.parameters(), *layer.outgoing.parameters()]
    return all(parameter.requires_grad for parameter in parameters)


def _check_units(layers: list[Hidden]) -> None:
    if not layers:
        raise RecipeError(
            "ReDo starts hidden units of actor and critic anew, and this policy has no linear "
            "layers with an activation after each: drop it from the recipe"
        )
    for layer in layers:
        if not isinstance(layer.activation, BOUNDED + RECTIFYING):
            known = ", ".join(kind.__name__ for kind in BOUNDED + RECTIFYING)
            raise RecipeError(
                f"ReDo cannot tell when {type(layer.activation).__name__} units of {layer.name} do "
                f"nothing: use one of {known}, or drop it from the recipe"
            )


@term_of.register
def _(method: SoftShrinkPerturb, setting: Setting) -> Term:
    return SoftShrinkPerturbTerm(method, setting.model)


@term_of.register
def _(method: ReDo, setting: Setting) -> Term:
    return ReDoTerm(method, setting.model)
