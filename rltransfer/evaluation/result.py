"""What an agent reached in held-out episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rltransfer import registry
from rltransfer.agents import Score
from rltransfer.errors import BadArgument
from rltransfer.metrics import bootstrap_interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What an agent reached, episode by episode.

    Attributes:
        task: Task id.
        returns: Undiscounted sum of the task's own rewards, (episodes,), float64.
        lengths: Steps of each episode, (episodes,).
        deterministic: Whether the most likely action was taken, not a sample.
        seed: Episode ``i`` was reset with ``seed + i``.
    """

    task: str
    returns: np.ndarray
    lengths: np.ndarray
    deterministic: bool
    seed: int

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.returns)

    @property
    def steps(self) -> int:
        """Environment steps that the evaluation took."""
        return int(self.lengths.sum())

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Sample standard deviation of the returns; nan for one episode."""
        return float(self.returns.std(ddof=1)) if self.episodes > 1 else math.nan

    @property
    def ci(self) -> tuple[float, float]:
        """Ends of the 95 % bootstrap interval of the mean; nan for one episode.

        Of fewer than five it is about their range. It speaks of other episodes of this very agent,
        not of other training runs.
        """
        interval = bootstrap_interval(self.returns)
        return float(interval.low), float(interval.high)

    @property
    def score(self) -> Score:
        """The mean with its interval, as the card of an agent keeps it.

        ``agent.with_card(score=rltransfer.evaluate(agent, episodes=100).score)`` notes how well an
        agent does on its own task.

        Raises:
            BadArgument: There is only one episode, which has no interval.
        """
        if self.episodes < 2:
            raise BadArgument("one episode has no interval: evaluate at least 2")
        low, high = self.ci
        return Score(
            mean=self.mean,
            ci_low=low,
            ci_high=high,
            episodes=self.episodes,
            deterministic=self.deterministic,
            seed=self.seed,
        )

    def normalized(self, task: registry.Task | None = None) -> np.ndarray:
        """Return the scores on the scale where random actions are 0 and the reference is 1.

        Args:
            task: Whose scale; by default that of the task evaluated on.

        Returns:
            One score per episode, (episodes,).

        Raises:
            BadArgument: The task has no random or no reference score.
        """
        scale = registry.task(self.task) if task is None else task
        return np.asarray(scale.normalize(self.returns))

    def __str__(self) -> str:
        how = "deterministic" if self.deterministic else "stochastic"
        low, high = self.ci
        interval = "" if math.isnan(low) else f" (95 % interval {low:.4g} to {high:.4g})"
        plural = "" if self.episodes == 1 else "s"
        return f"{self.task}: {self.mean:.4g}{interval} over {self.episodes} {how} episode{plural}"
