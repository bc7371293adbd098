"""On which pairs strategies are compared, and from which source checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study import OUT as STUDY
from study import checkpoints

from rltransfer.agents import Agent, load
from rltransfer.experiments.measuring import source_of
from rltransfer.registry import Pair, pair

CHECKPOINTS = 3
"""Source checkpoints; each seed takes the next one, from the first again when there are too few."""
SOURCES = STUDY / "sources"

DEVELOPMENT: Mapping[str, str] = {
    "cartpole-slow-control": "near",
    "acrobot-heavy": "near",
    "cartpole-far": "far",
    "cartpole-swapped": "negative",
    "cartpole-scaled": "sensor shift",
    "cartpole-right": "reward change",
    "cartpole-continuous": "action change",
}
"""Pairs that the table is of, and that `auto` was made from, with their kind."""
HELD_OUT: Mapping[str, str] = {
    "cartpole-long": "near",
    "cartpole-heavy-pole": "near",
    "acrobot-weak": "near",
    "acrobot-top-heavy": "near",
    "mountaincar-continuous-weak": "near",
    "pendulum-strong-gravity": "far",
    "acrobot-flipped": "negative",
    "mountaincar-continuous-flipped": "negative",
    "pendulum-flipped": "negative",
    "cartpole-permuted": "sensor shift",
    "cartpole-noisy": "sensor shift",
}
"""Pairs that `auto` is judged on; nothing was chosen on them."""
UNRELATED = {
    "cartpole": "acrobot",
    "acrobot": "cartpole",
    "mountaincar-continuous": "pendulum",
    "pendulum": "mountaincar-continuous",
}
"""Whose trunk each source gets in the control of that name."""
BUDGET = 20_000
"""Environment steps on the target, the same for every pair: short, as transfer is for that."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """One pair, ready to run.

    Attributes:
        pair: The pair.
        kind: What kind of change it is.
        sources: Source checkpoints, trained alike with other seeds.
        unrelated: An agent of another task.
    """

    pair: Pair
    kind: str
    sources: Sequence[Agent]
    unrelated: Agent

    def seeds_of(self, index: int, seeds: Sequence[int]) -> list[int]:
        """Seeds that start from one checkpoint.

        Args:
            index: Number of the checkpoint.
            seeds: All seeds.
        """
        return [seed for i, seed in enumerate(seeds) if i % len(self.sources) == index]


def setup(name: str) -> Setup:
    """Load a pair with its source checkpoints; those that are not there are trained.

    Args:
        name: Name of the pair.
    """
    found = pair(name)
    agent = source_of(found)
    kind = {**DEVELOPMENT, **HELD_OUT}.get(name, "")
    return Setup(
        pair=found,
        kind=kind,
        sources=checkpoints(agent, CHECKPOINTS, SOURCES),
        unrelated=load(UNRELATED[agent]),
    )
