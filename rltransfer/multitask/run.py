"""What comes out of training on many tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rltransfer import registry
from rltransfer.agents import Agent, Score
from rltransfer.agents.files import atomic_write

HEADER = ("task", "before", "after", "95 % interval", "normalized", "")


class CurveRow(NamedTuple):
    """One task at one moment of training; ``pandas.DataFrame(run.curve)`` has one row for each.

    Attributes:
        step: Environment steps of all tasks together so far.
        task: The task.
        mean: Mean return of the held-out episodes, in the task's own units.
        ci_low: Lower end of its 95 % interval over episodes.
        ci_high: Upper end.
        normalized: The mean where random actions are 0 and the reference is 1; nan where the
            registry does not know both.
    """

    step: int
    task: str
    mean: float
    ci_low: float
    ci_high: float
    normalized: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiTaskRun:
    """An agent that was trained on many tasks, and how well it does in each.

    Attributes:
        agent: The agent. ``agent.for_task(id)`` is an agent of one task.
        model: The trained ``MultiTaskPPO``; its environments are closed.
        trained: Tasks that were played.
        steps: Environment steps of all tasks together.
        curve: Scores from step 0 to the end, of all tasks of the agent.
        before: Score of each task before training; empty if nothing was evaluated.
        after: Score of each task after training; likewise.
    """

    agent: Agent
    model: Any
    trained: tuple[str, ...]
    steps: int
    curve: tuple[CurveRow, ...]
    before: Mapping[str, Score]
    after: Mapping[str, Score]

    @property
    def retention(self) -> dict[str, float]:
        """How the scores of tasks changed that the start knew and that were not played.

        Normalized score after minus before, by task: 0 if nothing was forgotten, negative if
        something was; nan where the registry does not know the scale. Their own heads are frozen,
        so what changes is what they share with the tasks that were played.
        """
        others = [id for id in self.before if id not in self.trained]
        return {
            id: on_scale(id, self.after[id].mean) - on_scale(id, self.before[id].mean)
            for id in others
        }

    @property
    def normalized(self) -> dict[str, float]:
        """Normalized score of each task after training; nan where the scale is not known."""
        return {id: on_scale(id, score.mean) for id, score in self.after.items()}

    def write_curve(self, path: str | Path) -> Path:
        """Write :attr:`curve` as CSV, one row for each task at each moment.

        Args:
            path: The file; its folder must exist.

        Raises:
            NotWritable: It could not be written; what was there before is unharmed.
        """
        lines = [",".join(CurveRow._fields)]
        lines += [",".join(str(value) for value in row) for row in self.curve]
        atomic_write(Path(path), ("\n".join(lines) + "\n").encode())
        return Path(path)

    def __str__(self) -> str:
        title = f"{self.agent.card.name}: {self.steps:,} steps on {len(self.trained)} task(s)"
        if not self.after:
            return f"{title}: {', '.join(self.trained)}; not evaluated"
        rows = [HEADER, *(self._row(id) for id in self.after)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([title, *(line.rstrip() for line in lines)])

    def _row(self, id: str) -> tuple[str, ...]:
        before, after = self.before[id], self.after[id]
        score = on_scale(id, after.mean)
        return (
            id,
            f"{before.mean:.4g}",
            f"{after.mean:.4g}",
            f"{after.ci_low:.4g} to {after.ci_high:.4g}",
            "-" if math.isnan(score) else f"{score:.2f}",
            "" if id in self.trained else f"not trained: {self._lost(id)}",
        )

    def _lost(self, id: str) -> str:
        """Change of a score, in units of the return where the registry does not know the scale."""
        change = self.retention[id]
        if not math.isnan(change):
            return f"{change:+.2f}"
        change = self.after[id].mean - self.before[id].mean
        return f"{change:+.4g} in return; rltransfer.register_task gives it a scale"


def on_scale(id: str, mean: float) -> float:
    """A mean return of a task where random actions are 0 and the reference is 1.

    Args:
        id: The task.
        mean: The return, in the task's own units.

    Returns:
        The score; nan where the registry does not know both.
    """
    task = registry.tasks().get(id.rpartition(":")[2])
    if task is None or task.random is None or task.reference is None:
        return math.nan
    return float(task.normalize(mean))
