"""Control arms: what a gain must be compared with before it is called knowledge.

A transferred agent can learn faster than scratch for reasons that have nothing to do with what the
source knew: better tuned learning rates, copied normalization statistics, a good scale of weights,
features that any trunk would give. Each control keeps one such reason and removes the knowledge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, UnknownName, suggest
from rltransfer.layers import TRUNK, layer_groups, select
from rltransfer.presets import recipe as preset
from rltransfer.random_streams import drawn_from
from rltransfer.recipe import Recipe
from rltransfer.report import KNOWLEDGE_CONTROLS, SCRATCH

# Heads fresh, critic refitted: what a trunk without a task needs to have a fair chance.
_NEW_HEADS = Recipe(reset=["heads"], critic="refit")
_STATISTICS = preset("scratch").but(obs_stats="copy", return_stats="copy")


@dataclass(frozen=True, kw_only=True)
class Control:
    """One control arm.

    Attributes:
        name: Its name in tables.
        why: What it keeps, in a few words.
        recipe: How its agent is carried over.
        change: Makes its agent from the source and the training seed; None for the source itself.
        train: False evaluates it at step 0 only.
        longer: Whether it is trained for as many steps more as the source was.
        shared: Whether it is the same for every source checkpoint.
    """

    name: str
    why: str
    recipe: Recipe
    change: Callable[[Agent, int], Agent] | None = None
    train: bool = True
    longer: bool = False
    shared: bool = False

    @property
    def knowledge(self) -> bool:
        """Whether a method must beat it to be said to transfer knowledge."""
        return self.name in KNOWLEDGE_CONTROLS


def permuted(agent: Agent, seed: int) -> Agent:
    """Shuffle the values of every tensor within itself: their scale stays, what they say is gone.

    Args:
        agent: The source.
        seed: Seed of the shuffle.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].reshape(
            tensor.shape
        )
        for name, tensor in sorted(agent.weights.items())
    }
    return _with_weights(agent, weights, f"{agent.card.name} permuted {seed}")


def fresh(agent: Agent, seed: int) -> Agent:
    """Draw all weights anew, as PPO would.

    Args:
        agent: The source.
        seed: Seed of the weights.
    """
    policy = agent.build().policy
    with drawn_from(seed):
        drawn = type(policy)(**policy._get_constructor_parameters())
    return _with_weights(agent, drawn.state_dict(), f"{agent.card.name} fresh {seed}")


def unrelated(agent: Agent, other: Agent) -> Agent:
    """Put the trunk of an agent of another task into this one.

    The first layers of the two may have different numbers of inputs: the columns of the other are
    taken in turn, from the first again when there are too few. Heads and statistics stay those of
    ``agent``; the control resets the heads.

    Args:
        agent: The source.
        other: An agent with the same hidden layers that was trained on an unrelated task.

    Raises:
        BadArgument: Their hidden layers differ.
    """
    if other.card.task == agent.card.task:
        raise BadArgument(
            f"the unrelated agent {other.card.name!r} was trained on {other.card.task} like the "
            "source: give one of another task"
        )
    groups = layer_groups(agent.build().policy)
    trunk = {key for name in select([TRUNK], groups) for key in groups[name].keys}
    weights = {
        name: _fitted(name, tensor, other) if name in trunk else tensor
        for name, tensor in agent.weights.items()
    }
    return _with_weights(agent, weights, f"{other.card.name} as {agent.card.name}")


def _fitted(name: str, tensor: torch.Tensor, other: Agent) -> torch.Tensor:
    found = other.weights.get(name)
    if found is not None and found.shape == tensor.shape:
        return found
    columns = found is not None and found.dim() == tensor.dim() == 2
    if found is None or not columns or len(found) != len(tensor):
        shape = "nothing" if found is None else str(list(found.shape))
        raise BadArgument(
            f"the unrelated agent {other.card.name!r} has {shape} for {name}, the source "
            f"{list(tensor.shape)}: give one with the same hidden layers"
        )
    return found[:, torch.arange(tensor.shape[1]) % found.shape[1]].contiguous()


def _with_weights(agent: Agent, weights: Mapping[str, torch.Tensor], name: str) -> Agent:
    # The moments of the optimizer belong to the old weights.
    return replace(agent.with_card(name=name), weights=dict(weights), optimizer=None)


def scaled_rate(rate: Any, factor: float) -> Any:
    """Multiply a learning rate, or both ends of a schedule.

    Args:
        rate: A number, or a linear schedule as data.
        factor: The factor, > 0.
    """
    if isinstance(rate, Mapping):
        return {k: v * factor if k in ("start", "end") else v for k, v in rate.items()}
    return rate * factor


_CONTROLS = (
    Control(
        name="scratch-tuned",
        why="training from scratch, with its own tuned learning rate",
        recipe=preset("scratch"),
        shared=True,
    ),
    Control(
        name="scratch-longer",
        why="training from scratch for the budget and the source's steps together",
        recipe=preset("scratch"),
        longer=True,
        shared=True,
    ),
    Control(
        name="zero-shot",
        why="the unchanged source, not trained on the target",
        recipe=preset("full"),
        train=False,
    ),
    Control(
        name="statistics",
        why="the source's normalization statistics with fresh weights",
        recipe=_STATISTICS,
    ),
    Control(
        name="permuted",
        why="the source's weights, shuffled within each tensor",
        recipe=Recipe(critic="refit"),
        change=permuted,
    ),
    Control(
        name="random-frozen",
        why="a frozen random trunk under new heads",
        recipe=_NEW_HEADS.but(freeze=["trunk"]),
        change=fresh,
    ),
    Control(
        name="unrelated",
        why="the trunk of an agent of another task under new heads",
        recipe=_NEW_HEADS,
    ),
    Control(
        name="reset-heads",
        why="the source's trunk under new heads",
        recipe=_NEW_HEADS,
    ),
)
CONTROLS: Mapping[str, Control] = MappingProxyType({c.name: c for c in _CONTROLS})
FROM_SCRATCH = (SCRATCH, *(c.name for c in _CONTROLS if c.shared))
"""Arms that take nothing from the source agent."""


def control(name: str) -> Control:
    """Return a control by name.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in CONTROLS:
        raise UnknownName(suggest(name, CONTROLS, kind="control"))
    return CONTROLS[name]


def stream(name: str, seed: int) -> int:
    """Seed for what a control draws, apart from the seed of the training that follows."""
    return int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:6], "big")
