"""An agent's model card as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rltransfer.agents.normalization import Normalization

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

_TITLES = {"ppo": "PPO", "maskable_ppo": "MaskablePPO", "recurrent_ppo": "RecurrentPPO"}


def describe(agent: Agent) -> str:
    """Return one fact a line, facts that are not known left out."""
    card = agent.card
    seed = "" if card.seed is None else f", seed {card.seed}"
    facts = {
        "task": card.task,
        "score": str(card.score) if card.score else "not measured",
        "trained for": f"{card.steps:,} steps{seed}",
        "made from": card.source or "nothing (trained from scratch)",
        "observations": str(agent.observation_space),
        "actions": str(agent.action_space),
        "normalizes": _normalizes(agent.normalization),
        "optimizer": "state kept" if agent.optimizer is not None else "state not kept",
        "hyperparameters": ", ".join(
            f"{name}={value}" for name, value in agent.hyperparameters.items() if value is not None
        ),
        "command": card.command,
        "versions": ", ".join(f"{name} {version}" for name, version in card.versions.items()),
        "created": card.created,
        "notes": card.notes,
        "sha256": agent.sha256,
    }
    width = max(map(len, facts))
    lines = [f"  {name:<{width}}  {fact}" for name, fact in facts.items() if fact]
    return "\n".join([f"{card.name}: {_TITLES[agent.algorithm]} with {agent.policy}", *lines])


def _normalizes(spec: Normalization | None) -> str:
    if spec is None:
        return "nothing"
    parts = [name for name, on in (("observations", spec.obs), ("rewards", spec.reward)) if on]
    return " and ".join(parts) or "nothing"
