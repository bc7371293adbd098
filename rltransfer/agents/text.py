"""An agent's model card as text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltransfer.agents import backbone
from rltransfer.agents.normalization import Normalization
from rltransfer.agents.origin import imported, made_from

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

TITLES = {"ppo": "PPO", "maskable_ppo": "MaskablePPO", "recurrent_ppo": "RecurrentPPO"}
_WIDTH = 100
#: Hyperparameters of an imported agent: some are substitutes for what its files do not tell.
FINE_TUNING = "defaults for fine-tuning"
_WRAPPED = ("hyperparameters", FINE_TUNING, "versions")


def describe(agent: Agent) -> str:
    """Return one fact a line, facts that are not known left out; further lines are indented."""
    card, origin = agent.card, imported(agent.card)
    old = f" (trained on {origin.task})" if origin and origin.task else ""
    packed = "packed, " if agent.multitask else ""
    facts = {
        **_scores(agent, old),
        "trained for": trained_for(agent),
        "made from": made_from(card),
        "observations": packed + space(agent.observation_space),
        "actions": packed + space(agent.action_space),
        "image encoder": backbone.words(agent),
        "normalizes": _normalizes(agent),
        "optimizer": "state kept" if agent.optimizer is not None else "state not kept",
        FINE_TUNING if origin else "hyperparameters": ", ".join(
            f"{name}={hyperparameter(value)}"
            for name, value in agent.hyperparameters.items()
            if value is not None
        ),
        "command": card.command,
        "versions": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        "created": card.created,
        "notes": card.notes,
        "sha256": agent.sha256,
    }
    width = max(map(len, facts))
    lines = [_fact(name, printable(fact), width) for name, fact in facts.items() if fact]
    return "\n".join([f"{line(card.name)}: {title(agent)} with {line(agent.policy)}", *lines])


def _scores(agent: Agent, old: str) -> dict[str, str]:
    """The task and its score, or each of several tasks with its score, one a line."""
    card = agent.card
    if not agent.multitask:
        score = str(card.score) if card.score else "not measured"
        also = [f"{id}: {one}" for id, one in card.scores.items() if id != card.task]
        return {"task": card.task + old, "score": score, "also on": "\n".join(also)}
    return {
        "tasks": "\n".join(f"{id}: {card.scores.get(id, 'not measured')}" for id in agent.tasks)
    }


def title(agent: Agent) -> str:
    """Name of the algorithm, as its class is called."""
    return TITLES[agent.algorithm]


def trained_for(agent: Agent) -> str:
    """Steps and seed of the training, and the algorithm where that is another than its class."""
    seed = "" if agent.card.seed is None else f", seed {agent.card.seed}"
    by = trainer(agent)
    return f"{agent.card.steps:,} steps{seed}{'' if by == title(agent) else f', by {by}'}"


def trainer(agent: Agent) -> str:
    """Name of the algorithm that trained it: A2C and TRPO train policies of PPO."""
    origin = imported(agent.card)
    return origin.trained_by if origin and origin.trained_by else title(agent)


def _normalizes(agent: Agent) -> str:
    # A multi-task policy keeps its statistics among its weights.
    own = agent.multitask and agent.policy_kwargs.get("normalize_observations", False)
    return "observations" if own else normalizes(agent.normalization)


def normalizes(spec: Normalization | None) -> str:
    """What running statistics normalize."""
    if spec is None:
        return "nothing"
    parts = [name for name, on in (("observations", spec.obs), ("rewards", spec.reward)) if on]
    return " and ".join(parts) or "nothing"


def hyperparameter(value: Any) -> str:
    """One hyperparameter, a schedule in words."""
    if not isinstance(value, Mapping):
        return str(value)
    end = "" if value["end_fraction"] == 1 else f" by {value['end_fraction']:.4g} of the training"
    return f"{value['start']} falling to {value['end']}{end}"


def space(value: gym.Space) -> str:
    """A space on one line, however many bounds it has."""
    if isinstance(value, spaces.Dict):
        return f"Dict({', '.join(f'{key}: {space(part)}' for key, part in value.spaces.items())})"
    if isinstance(value, spaces.Tuple):
        return f"Tuple({', '.join(map(space, value.spaces))})"
    if isinstance(value, spaces.Box):
        low, high = np.unique(value.low), np.unique(value.high)
        bounds = f"from {low[0]} to {high[0]}" if low.size == high.size == 1 else "bounds differ"
        return f"Box(shape {value.shape}, {value.dtype}, {bounds})"
    return " ".join(str(value).split())


def printable(text: str) -> str:
    """The text without control characters, which a terminal obeys; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def line(text: str) -> str:
    """The printable text on one line."""
    return " ".join(printable(text).split())


def _fact(name: str, fact: str, width: int) -> str:
    lines = fact.splitlines()
    if name in _WRAPPED:
        room = _WIDTH - width - 4
        lines = textwrap.wrap(fact, room, break_long_words=False, break_on_hyphens=False)
    return f"  {name:<{width}}  " + f"\n{' ' * (width + 4)}".join(lines)
