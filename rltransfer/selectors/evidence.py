"""What a selector can know of a source and a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gymnasium import spaces

from rltransfer.probe import Probe
from rltransfer.recipe import Recipe
from rltransfer.similarity.closeness import Closeness
from rltransfer.trial_episodes import EPISODES

ENOUGH = 1_000
"""Environment steps that a brief probe may take, beyond which a second episode is not begun."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What can be known before a recipe is chosen. What takes steps is measured when it is read.

    Attributes:
        wanted: The recipe with ``select``; its index maps are to be kept.
        target: Gymnasium id of the target.
        action_space: The target's actions.
        algorithm: The source's, such as ``"ppo"``.
        unfit: Layer groups of the source that do not fit the target's spaces; while there are any,
            the source cannot act there, and ``probe`` cannot be read.
        stats_fit: Whether its observation statistics do.
        run_probe: Lets the unchanged source act on the target: number of the first episode, and how
            many are played.
        run_comparison: Plays both tasks at random.
    """

    wanted: Recipe
    target: str
    action_space: spaces.Space
    algorithm: str
    unfit: Sequence[str] = ()
    stats_fit: bool = True
    run_probe: Callable[[int, int], Probe]
    run_comparison: Callable[[], Closeness]

    @cached_property
    def probe(self) -> Probe:
        """How the unchanged source did on the target, in :data:`EPISODES` episodes."""
        return self.run_probe(0, EPISODES)

    @cached_property
    def brief_probe(self) -> Probe:
        """The same in no more episodes than fit into :data:`ENOUGH` steps, but at least one.

        Steps at random that measure what scores 0 come on top, and are counted. Its critic fit is
        that of the first.
        """
        first = self.run_probe(0, 1)
        more = min(EPISODES - 1, ENOUGH // (first.steps - first.measuring) - 1)
        if more < 1:
            return first
        rest = self.run_probe(1, more)
        score = (first.score + more * rest.score) / (1 + more)
        return replace(first, score=score, steps=first.steps + rest.steps)

    @cached_property
    def closeness(self) -> Closeness:
        """How alike the two tasks are under random actions.

        Raises:
            TransferError: The source's task cannot be made.
        """
        return self.run_comparison()
