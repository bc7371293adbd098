"""What is left of each task after each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rltransfer import metrics
from rltransfer.agents import Agent
from rltransfer.agents.files import atomic_write, csv_of
from rltransfer.errors import BadArgument


@dataclass(frozen=True, kw_only=True, eq=False)
class ContinualRun:
    """A sequence of T tasks that were learnt one after the other.

    Attributes:
        method: Name of the strategy.
        tasks: The tasks in their order.
        steps: Environment steps on each.
        seed: Seed of the sequence.
        scores: Normalized score on each task (columns) after each task was learnt (rows), with
            the untrained network first: shape (T + 1, T); 0 is random, 1 the reference.
        areas: Area under the learning curve of each task while it was learnt, scores clipped to
            [0, 1]; shape (T,).
        agents: Who plays each task at the end.
    """

    method: str
    tasks: Sequence[str]
    steps: int
    seed: int
    scores: np.ndarray
    areas: np.ndarray
    agents: Sequence[Agent]

    @property
    def final(self) -> float:
        """Mean score over all tasks at the end."""
        return float(self.scores[-1].mean())

    @property
    def forgetting(self) -> np.ndarray:
        """Score lost on each task but the last since it was learnt, shape (T - 1,)."""
        after = np.array([self.scores[i + 1, i] for i in range(len(self.tasks) - 1)])
        return np.asarray(metrics.forgetting(after, self.scores[-1, :-1]))

    @property
    def backward_transfer(self) -> float:
        """Mean change on earlier tasks by the end (Lopez-Paz & Ranzato 2017); minus forgetting."""
        return -float(self.forgetting.mean())

    @property
    def zero_shot(self) -> np.ndarray:
        """Score on each task but the first just before it was learnt, minus the untrained one's.

        Shape (T - 1,); forward transfer without training (Powers et al. 2022, CORA).
        """
        before = np.array([self.scores[j, j] for j in range(1, len(self.tasks))])
        return before - self.scores[0, 1:]

    def forward_transfer(self, baseline: ContinualRun) -> np.ndarray:
        """What learning the earlier tasks did for learning each one.

        Args:
            baseline: The same tasks, each from scratch.

        Returns:
            ``(AUC - AUC_b) / (1 - AUC_b)`` of each task, shape (T,); ``nan`` where the baseline's
            area is near 1 (Wolczyk et al. 2021, section 4.2).

        Raises:
            BadArgument: The baseline learnt other tasks, or for another number of steps.
        """
        if (*baseline.tasks,) != (*self.tasks,) or baseline.steps != self.steps:
            raise BadArgument(
                f"the baseline learnt {', '.join(baseline.tasks)} for {baseline.steps:,} steps "
                f"each, this run {', '.join(self.tasks)} for {self.steps:,}: compare alike"
            )
        pairs = zip(self.areas, baseline.areas, strict=True)
        return np.array([metrics.forward_transfer(float(a), float(b)) for a, b in pairs])

    def write(self, path: str | Path) -> Path:
        """Write the scores as CSV: one row for each task learnt, one column for each task.

        Args:
            path: The file; its folder must exist.

        Raises:
            NotWritable: It could not be written.
        """
        labelled = zip(["untrained", *self.tasks], self.scores, strict=True)
        rows = [(label, *(f"{value:.6g}" for value in row)) for label, row in labelled]
        atomic_write(Path(path), csv_of([("after", *self.tasks), *rows]))
        return Path(path)

    def __str__(self) -> str:
        names = [task.rpartition("/")[2] for task in self.tasks]
        rows = [["after learning", *names]]
        for label, scores in zip(["nothing", *names], self.scores, strict=True):
            rows.append([label, *("-" if math.isnan(s) else f"{s:.2f}" for s in scores)])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        ending = f"final {self.final:.2f}, forgetting {self.forgetting.mean():.2f}"
        title = f"{self.method}: {len(self.tasks)} tasks, {self.steps:,} steps each"
        return "\n".join([title, *(line.rstrip() for line in lines), ending])
