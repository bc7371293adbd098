"""How unchanged agents do on tasks that they were not trained on, as a matrix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rltransfer import registry
from rltransfer.agents import Agent
from rltransfer.agents.files import atomic_write, csv_of
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.evaluate import HELD_OUT_SEED, Evaluator
from rltransfer.evaluation.given import load_if_named
from rltransfer.metrics import bootstrap_interval

__all__ = ["ZeroShot", "zero_shot"]

HEADER = ("agent", "task", "unit", "mean", "ci_low", "ci_high", "episodes")


@dataclass(frozen=True, kw_only=True, eq=False)
class ZeroShot:
    """Scores of agents on tasks, without any training.

    A score is normalized, random actions are 0 and the reference is 1, where the registry knows
    both; elsewhere it is the return.

    Attributes:
        agents: Names of the agents.
        tasks: Gymnasium ids.
        normalized: Whether the scores of each task are normalized, (tasks,).
        scores: Score of each episode, nan where an agent's spaces are not those of a task,
            (agents, tasks, episodes).
    """

    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    normalized: tuple[bool, ...]
    scores: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean scores, nan where spaces do not fit, (agents, tasks)."""
        return self.scores.mean(axis=2)

    @property
    def ci(self) -> np.ndarray:
        """Ends of the 95 % bootstrap interval of each mean over episodes, (agents, tasks, 2)."""
        ends = np.full((*self.mean.shape, 2), math.nan)
        for place in zip(*np.nonzero(~np.isnan(self.mean)), strict=True):
            ends[place] = bootstrap_interval(self.scores[place])
        return ends

    def write_csv(self, path: str | Path) -> Path:
        """Write one row for each agent on each task.

        Args:
            path: The file; its folder must exist.

        Raises:
            NotWritable: It could not be written; what was there before is unharmed.
        """
        mean, ci, rows = self.mean, self.ci, []
        for i, agent in enumerate(self.agents):
            for j, task in enumerate(self.tasks):
                unit = "normalized" if self.normalized[j] else "return"
                rows.append((agent, task, unit, mean[i, j], *ci[i, j], self.scores.shape[2]))
        atomic_write(Path(path), csv_of([HEADER, *rows]))
        return Path(path)

    def __str__(self) -> str:
        units = ["" if scaled else " (return)" for scaled in self.normalized]
        heads = [f"{task}{unit}" for task, unit in zip(self.tasks, units, strict=True)]
        rows = [["", *heads], *([name, *self._cells(i)] for i, name in enumerate(self.agents))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)

    def _cells(self, index: int) -> list[str]:
        pairs = zip(self.mean[index], self.ci[index], strict=True)
        return ["-" if math.isnan(m) else f"{m:.3g} [{e[0]:.3g}, {e[1]:.3g}]" for m, e in pairs]


def zero_shot(
    agents: Mapping[str, Any] | Sequence[Any],
    tasks: Sequence[str],
    *,
    episodes: int = 20,
    deterministic: bool = True,
    max_steps: int | None = None,
    seed: int = HELD_OUT_SEED,
) -> ZeroShot:
    """Let each agent play held-out episodes of each task, all the same episodes.

    Args:
        agents: What :func:`rltransfer.evaluate` takes, by name; or a list of agents, paths or
            names, whose cards have the names.
        tasks: Gymnasium ids.
        episodes: Episodes of each agent on each task, at least 2.
        deterministic: Take the most likely action; else sample.
        max_steps: Steps after which an episode ends at the latest; needed where a task has no time
            limit of its own.
        seed: Episode ``i`` is reset with ``seed + i``.

    Raises:
        UnknownName: There is no such agent or task.
        BadArgument: There is no agent or no task, two agents have one name, or a number is out of
            range.
    """
    named = _named(agents)
    if isinstance(tasks, str) or not isinstance(tasks, Sequence) or not tasks or not named:
        raise BadArgument("zero_shot needs at least one agent, and a list of at least one task")
    if type(episodes) is not int or episodes < 2:
        raise BadArgument(f"episodes is {episodes!r}: give a whole number, at least 2")
    scores = np.full((len(named), len(tasks), episodes), math.nan)
    scaled = []
    for column, id in enumerate(tasks):
        with Evaluator(id, episodes=episodes, seed=seed, max_steps=max_steps) as evaluator:
            task = registry.task(id)
            scaled.append(None not in (task.random, task.reference))
            for row, actor in enumerate(named.values()):
                try:
                    result = evaluator.run(actor, deterministic=deterministic)
                except SpaceMismatch:
                    continue
                scores[row, column] = result.normalized(task) if scaled[-1] else result.returns
    return ZeroShot(
        agents=tuple(named), tasks=tuple(tasks), normalized=tuple(scaled), scores=scores
    )


def _named(agents: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(agents, Mapping):
        return {name: load_if_named(one) for name, one in agents.items()}
    if isinstance(agents, str) or not isinstance(agents, Iterable):
        raise BadArgument(f"agents is {agents!r}: give a list, such as [{agents!r}]")
    loaded = [load_if_named(one) for one in agents]
    for one in loaded:
        if not isinstance(one, Agent):
            raise BadArgument(f"{type(one).__name__} has no card: give it a name, {{'mine': ...}}")
    named = {one.card.name: one for one in loaded}
    if len(named) < len(loaded):
        raise BadArgument("two agents have the same name: give names, {'one': ..., 'other': ...}")
    return named
