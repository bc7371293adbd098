"""What happened to an agent in a stream of episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rltransfer.agents import Agent
from rltransfer.agents.files import atomic_write, csv_of


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """One time that the agent was fine-tuned.

    Attributes:
        episode: Index of the episode whose return raised the alarm.
        task: Gymnasium id of what was played, and trained on.
        steps: Environment steps of the training.
    """

    episode: int
    task: str
    steps: int


@dataclass(frozen=True, kw_only=True, eq=False)
class OnlineRun:
    """What happened to an agent in a stream of episodes.

    Attributes:
        agent: The agent at the end.
        returns: Return of each episode, (episodes,).
        tasks: Gymnasium id of the task of each episode, (episodes,).
        retrainings: When it was fine-tuned.
        played: Environment steps of the episodes.
    """

    agent: Agent
    returns: np.ndarray
    tasks: tuple[str, ...]
    retrainings: tuple[Retraining, ...]
    played: int

    @property
    def alarms(self) -> tuple[int, ...]:
        """Indexes of the episodes that raised an alarm."""
        return tuple(one.episode for one in self.retrainings)

    @property
    def trained(self) -> int:
        """Environment steps of all trainings."""
        return sum(one.steps for one in self.retrainings)

    def write_csv(self, path: str | Path) -> Path:
        """Write one row for each episode: its index, task, return, and whether it was an alarm.

        Args:
            path: The file; its folder must exist.

        Raises:
            NotWritable: It could not be written; what was there before is unharmed.
        """
        played = enumerate(zip(self.tasks, self.returns.tolist(), strict=True))
        rows = [(i, task, one, int(i in self.alarms)) for i, (task, one) in played]
        atomic_write(Path(path), csv_of([("episode", "task", "return", "alarm"), *rows]))
        return Path(path)

    def __str__(self) -> str:
        lines = [
            f"{len(self.returns)} episodes, mean return {self.returns.mean():.4g}; "
            f"{self.played:,} steps played, {self.trained:,} trained"
        ]
        lines += [
            f"  episode {one.episode}: fine-tuned on {one.task} for {one.steps:,} steps"
            for one in self.retrainings
        ]
        return "\n".join(lines)
