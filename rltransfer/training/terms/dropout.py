"""Dropout whose masks follow from observations (Hausknecht & Wagener 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rltransfer.errors import RecipeError
from rltransfer.methods import Dropout
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Term
from rltransfer.training.terms.weights import trained
from rltransfer.training.units import Hidden, hidden_layers

# Constants of SplitMix64 (Steele et al. 2014), as signed integers.
STEP = 0x9E3779B97F4A7C15 - 2**64
FIRST = 0xBF58476D1CE4E5B9 - 2**64
SECOND = 0x94D049BB133111EB - 2**64
BITS = 32
"""Bits of a hash that are compared with the rate."""


class DropoutTerm(Term):
    """Leaves hidden units out while actions are taken and learnt from.

    It stands before ``policy.forward``, by which rollouts act, and ``policy.evaluate_actions``,
    which updates ask, and takes masks from the observations that pass. That these methods are
    replaced also keeps the engine from closed form, which would not drop anything out.

    Args:
        method: The method.
        policy: The policy. Changed in place.
        seed: Seed of the masks.
    """

    def __init__(self, method: Dropout, policy: Any, seed: int) -> None:
        self.name = method.name
        self.strength = method.rate
        self._policy = policy
        self._seed = seed
        self._rows: Tensor | None = None
        self._begin(0)
        for place, layer in enumerate(_layers(method, policy)):
            layer.outgoing.register_forward_pre_hook(_Drop(self, place))
        policy.forward = self._forward
        policy.evaluate_actions = self._evaluate_actions

    def end(self) -> Mapping[str, float]:
        """Let the next rollout have other masks."""
        self._begin(self._rollout + 1)
        return {}

    def state(self) -> dict[str, Tensor]:
        """Number of the rollout."""
        return {"rollout": torch.tensor(self._rollout)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it over."""
        self._begin(int(state["rollout"]))

    def mask(self, place: int, units: int) -> Tensor | None:
        """Give the mask of a layer.

        Args:
            place: Number of the layer.
            units: Its units.

        Returns:
            Zeros and ``1 / (1 - rate)``, shape (B, units); None where nothing drops out.
        """
        if self._rows is None:
            return None
        numbers = torch.arange(units, device=self._rows.device) + (place << BITS)
        draws = mixed(self._rows[:, None] ^ mixed(numbers)) & (2**BITS - 1)
        return (draws >= self.strength * 2**BITS) / (1 - self.strength)

    def _begin(self, rollout: int) -> None:
        self._rollout = rollout
        key = mixed(torch.tensor(self._seed) + mixed(torch.tensor(rollout)))
        self._key = key.to(self._policy.device)

    def _forward(self, obs: Any, *args: Any, **kwargs: Any) -> Any:
        with self._dropping(obs):
            return type(self._policy).forward(self._policy, obs, *args, **kwargs)

    def _evaluate_actions(self, obs: Any, *args: Any, **kwargs: Any) -> Any:
        with self._dropping(obs):
            return type(self._policy).evaluate_actions(self._policy, obs, *args, **kwargs)

    @contextmanager
    def _dropping(self, observations: Any) -> Iterator[None]:
        self._rows = mixed(hashed(observations) + self._key)
        try:
            yield
        finally:
            self._rows = None


class _Drop:
    """Drops out what a layer reads."""

    def __init__(self, term: DropoutTerm, place: int) -> None:
        self._term = term
        self._place = place

    def __call__(self, module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
        mask = self._term.mask(self._place, args[0].shape[1])
        return None if mask is None else (args[0] * mask,)


def hashed(observations: Any) -> Tensor:
    """Hash observations, the same on any device and in any batch.

    Args:
        observations: Shape (B, ...), or a dict of such.

    Returns:
        Shape (B,), int64.
    """
    held = isinstance(observations, Mapping)
    parts = [observations[key] for key in sorted(observations)] if held else [observations]
    rows = torch.cat([_numbers(part) for part in parts], dim=1)
    places = torch.arange(rows.shape[1], device=rows.device)
    return (rows * (mixed(places) | 1)).sum(1)


def _numbers(part: Tensor) -> Tensor:
    """Whole numbers, shape (B, numbers)."""
    rows = part.reshape(len(part), -1)
    # A rollout buffer may keep doubles as single floats.
    return (rows.float().view(torch.int32) if rows.is_floating_point() else rows).long()


def mixed(numbers: Tensor) -> Tensor:
    """Scatter 64-bit integers, by the finalizer of SplitMix64; one to one."""
    numbers = numbers + STEP
    numbers = (numbers ^ _right(numbers, 30)) * FIRST
    numbers = (numbers ^ _right(numbers, 27)) * SECOND
    return numbers ^ _right(numbers, 31)


def _right(numbers: Tensor, by: int) -> Tensor:
    """Shift right, filling with zeros, where torch fills with the sign."""
    return (numbers >> by) & (2 ** (64 - by) - 1)


def _layers(method: Dropout, policy: Any) -> list[Hidden]:
    layers = [one for one in hidden_layers(policy) if method.critic or one.name[0] == "a"]
    if not layers:
        raise RecipeError(
            "Dropout drops hidden units of the actor, and this policy has no linear layers with an "
            "activation after each: drop it from the recipe"
        )
    return layers


@term_of.register
def _(method: Dropout, setting: Setting) -> Term:
    trained(method, setting.model, critic=method.critic, std=True)
    seed = torch.initial_seed() if setting.seed is None else setting.seed
    return DropoutTerm(method, setting.model.policy, seed % 2**63)
