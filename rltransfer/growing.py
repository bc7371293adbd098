"""Widening a source's actor: what is added leaves its outputs as they are.

A network beside another one is a wider network. With the source's units first and the new ones
after them, the weights of a hidden layer are, in blocks of (to source, to new) rows and (from
source, from new) columns::

    residual           progressive
    [ source   0  ]    [ source   0  ]
    [   0     new ]    [ lateral new ]

Source and zeros are held by masks; the rest trains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.methods import LoRA, Progressive, Residual
from rltransfer.recipe import Recipe
from rltransfer.training.streams import stream

ACTOR, CRITIC = "mlp_extractor.policy_net", "mlp_extractor.value_net"
HEAD = "action_net.weight"
POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
# The gain of SB3's hidden layers.
GAIN = 2**0.5


@dataclass(frozen=True, eq=False)
class Grown:
    """A source with a wider actor.

    Attributes:
        agent: The source; its actor's outputs are what they were.
        masks: Which entries of its weights train, by parameter name, as
            :class:`rltransfer.training.terms.masks.MaskTerm` takes them. They still fit when a
            recipe maps inputs and outputs.
    """

    agent: Agent
    masks: Mapping[str, Tensor] = field(default_factory=dict)


def grow(agent: Agent, recipe: Recipe, seed: int | None = None) -> Grown:
    """Widen a source as a recipe says, if it does.

    Args:
        agent: The source.
        recipe: The recipe.
        seed: Seed of new weights; None for any.

    Raises:
        RecipeError: The source's policy is none that can be widened.
    """
    for method in recipe.methods:
        if isinstance(method, Residual | Progressive):
            return grown(agent, method, seed)
    return Grown(agent)


def grown(agent: Agent, method: Residual | Progressive, seed: int | None = None) -> Grown:
    """Widen a source's actor.

    Args:
        agent: The source. It is not changed.
        method: How.
        seed: Seed of new weights; None for any.

    Raises:
        RecipeError: The source's policy is none that can be widened.
    """
    _check(agent, method)
    weights, masks = dict(agent.weights), dict[str, Tensor]()
    generator = stream(seed, method.name)
    lateral, width = isinstance(method, Progressive), method.width
    for i, name in enumerate(_hidden(agent, ACTOR)):
        weight, bias = f"{name}.weight", f"{name}.bias"
        weights[weight], masks[weight] = _wider(
            weights[weight], width, first=i == 0, lateral=lateral, generator=generator
        )
        masks[bias] = _from(len(weights[bias]), width)
        weights[bias] = pad(weights[bias], (0, width))
    if not lateral:
        masks[HEAD] = _from(weights[HEAD].shape[1], width)[None]
    weights[HEAD] = pad(weights[HEAD], (0, width))
    return Grown(_with(agent, weights), masks)


def added_entries(recipe: Recipe, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which entries of a widened policy's parameters are new, beside the source's.

    Args:
        recipe: The recipe.
        parameters: The policy's parameters by name.

    Returns:
        Masks by name, of those parameters that hold both.
    """
    growing = (one for one in recipe.methods if isinstance(one, Residual | Progressive))
    width, found = next((one.width for one in growing), 0), {}
    for name, parameter in parameters.items() if width else ():
        if name.startswith(f"{ACTOR}.") or name == HEAD:
            new = torch.zeros_like(parameter, dtype=torch.bool)
            if name != HEAD:
                new[-width:] = True
            if parameter.dim() == 2 and name != f"{ACTOR}.0.weight":
                new[:, -width:] = True
            found[name] = new
    return found


def growth_notes(
    recipe: Recipe, masks: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
) -> dict[str, str]:
    """Say what a recipe adds to the source's network.

    Args:
        recipe: The recipe.
        masks: From :func:`grow`.
        parameters: The policy's parameters by name.

    Returns:
        Words by the name of the method.
    """
    held = sum(int((~mask.expand_as(parameters[key])).sum()) for key, mask in masks.items())
    notes = {}
    for method in recipe.methods:
        if isinstance(method, Residual | Progressive):
            added = f"{method.width} new units beside each hidden layer of the actor"
            notes[method.name] = f"{added}, {held:,} weights of which are held"
        elif isinstance(method, LoRA):
            notes[method.name] = (
                f"changes of rank {method.rank} to copied matrices of the actor train in their "
                f"place, {method.lr_scale:g} times as fast, and biases stay"
            )
    return notes


def _wider(
    layer: Tensor, width: int, *, first: bool, lateral: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Add units to a hidden layer, and to the one below it unless it is the first.

    Returns:
        The weights; and which of them train, in one column if that is the same for all inputs.
    """
    columns = layer.shape[1] + (0 if first else width)
    reads = columns if first or lateral else width  # inputs of a new unit
    new = torch.nn.init.orthogonal_(layer.new_empty(width, reads), GAIN, generator)
    weights, trains = torch.zeros(2, len(layer) + width, columns, dtype=layer.dtype)
    weights[: len(layer), : layer.shape[1]] = layer
    weights[len(layer) :, columns - reads :] = new
    trains[len(layer) :, columns - reads :] = 1
    return weights, (trains[:, :1] if first else trains).bool()


def _from(old: int, new: int) -> Tensor:
    """A mask of entries, of which the last ones train."""
    return torch.arange(old + new) >= old


def _with(agent: Agent, weights: Mapping[str, Tensor]) -> Agent:
    """The agent with other weights; moments of those that changed their shape are dropped."""
    resized = {key for key, value in weights.items() if value.shape != agent.weights[key].shape}
    moments = {
        name: value
        for name, value in (agent.optimizer or {}).items()
        if name.rpartition("/")[0] not in resized
    }
    widths = {
        key: [len(weights[f"{name}.weight"]) for name in _hidden(agent, branch)]
        for key, branch in (("pi", ACTOR), ("vf", CRITIC))
    }
    return replace(
        agent,
        weights=weights,
        optimizer=moments or None,
        policy_kwargs={**agent.policy_kwargs, "net_arch": widths},
    )


def _hidden(agent: Agent, branch: str) -> list[str]:
    """Names of the hidden layers of a branch, input to output."""
    found = [re.fullmatch(rf"({re.escape(branch)}\.(\d+))\.weight", key) for key in agent.weights]
    return [one[1] for one in sorted(filter(None, found), key=lambda one: int(one[2]))]


def _check(agent: Agent, method: Residual | Progressive) -> None:
    what = f"{type(method).__name__} widens the actor of a plain PPO policy"
    if agent.algorithm != "ppo" or agent.policy not in POLICIES:
        raise RecipeError(
            f"{what}, and this source is {agent.algorithm} with {agent.policy}: drop it"
        )
    if agent.hyperparameters["use_sde"]:
        raise RecipeError(
            f"{what}, whose exploration must not depend on its hidden units: the source explores "
            "by gSDE (use_sde), so drop it, or use LoRA()"
        )
    if any(agent.weights[f"{name}.weight"].dim() != 2 for name in _hidden(agent, ACTOR)):
        raise RecipeError(
            f"{what} of linear layers, and this source's activations have weights of their own: "
            "use LoRA()"
        )
    if not _hidden(agent, ACTOR):
        raise RecipeError(f"{what} with hidden layers, and this source's has none: use LoRA()")
