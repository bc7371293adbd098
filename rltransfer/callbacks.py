"""Callbacks for ``learn``: the learning curve on held-out episodes, and progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from rltransfer import registry
from rltransfer.errors import BadArgument
from rltransfer.evaluate import HELD_OUT_SEED, Evaluation, Evaluator


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A learning curve.

    Attributes:
        steps: Environment steps on the task, (n,), increasing from 0, which is before any update.
        deterministic: Returns with the most likely actions, (n, episodes).
        stochastic: Returns with sampled actions, (n, episodes).
    """

    steps: np.ndarray
    deterministic: np.ndarray
    stochastic: np.ndarray


class AtMarks(BaseCallback):
    """Evaluates between an update and the next rollout, once for all marks that were passed."""

    def __init__(self) -> None:
        super().__init__()
        self._marks = np.empty(0)

    def _on_rollout_start(self) -> None:
        done = self.model.num_timesteps
        if self._marks.size and done >= self._marks[0]:
            self._marks = self._marks[self._marks > done]
            self._evaluate(done)

    def _on_step(self) -> bool:
        return True

    def _evaluate(self, steps: int) -> None:
        raise NotImplementedError


class Evaluate(AtMarks):
    """Evaluates before the first update, at equal parts of the budget, and at the end.

    An evaluation takes place between an update and the next rollout, so its steps are a rollout's
    end. Its own environment steps are not counted, and training goes on as without it. One instance
    records one run; a second ``learn`` with ``reset_num_timesteps=False`` prolongs it.

    The first point lies at 0 steps even when ``learn`` starts later because probing the task was
    charged to the budget: it is the agent before any update.

    Args:
        task: Gymnasium id, ``module:id``, or a spec.
        points: Parts of the budget; an evaluation follows the end of each.
        episodes: Episodes of each evaluation, at least 1.
        seed: Episode ``i`` is reset with ``seed + i``.
        max_steps: See :func:`rltransfer.evaluate.evaluate`.

    Raises:
        BadArgument: ``points`` is not a whole number, at least 1; the others as in ``evaluate``.
    """

    def __init__(
        self,
        task: str | EnvSpec,
        *,
        points: int = 20,
        episodes: int = 20,
        seed: int = HELD_OUT_SEED,
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        if type(points) is not int or points < 1:
            raise BadArgument(f"points is {points!r}: give a whole number, at least 1")
        self._points = points
        self._episodes = episodes
        self._open = partial(Evaluator, task, episodes=episodes, seed=seed, max_steps=max_steps)
        self._evaluator: Evaluator | None = self._open()  # Now, so that errors come now.
        known = registry.tasks().get(self._evaluator.task)
        scored = known is not None and None not in (known.random, known.reference)
        self._scale = known if scored else None
        self._steps: list[int] = []
        self._returns: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def curve(self) -> Curve:
        """What was recorded so far."""
        shape = (len(self._returns), self._episodes)
        deterministic = [likely for likely, _ in self._returns]
        stochastic = [sampled for _, sampled in self._returns]
        return Curve(
            steps=np.array(self._steps, dtype=np.int64),
            deterministic=np.array(deterministic).reshape(shape),
            stochastic=np.array(stochastic).reshape(shape),
        )

    def restore(self, curve: Curve) -> None:
        """Go on with a curve that another one recorded in an earlier part of the same run.

        Args:
            curve: The curve so far; ``learn`` is to go on from its last step or later.
        """
        self._steps = curve.steps.tolist()
        self._returns = list(zip(curve.deterministic, curve.stochastic, strict=True))

    def hold(self, model: Any, steps: int) -> None:
        """Record a model that is not trained: evaluated once, its score stays what it is.

        Args:
            model: The model.
            steps: Where the flat curve ends, in environment steps.
        """
        if self._evaluator is None:
            self._evaluator = self._open()
        likely = self._evaluator.run(model)
        sampled = self._evaluator.run(model, deterministic=False)
        self._steps, self._returns = [0, steps], [(likely.returns, sampled.returns)] * 2
        self._evaluator.close()
        self._evaluator = None

    def _on_training_start(self) -> None:
        start, total = self.model.num_timesteps, self.model._total_timesteps
        if self._steps and start < self._steps[-1]:
            raise BadArgument(
                f"this Evaluate has recorded a run up to {self._steps[-1]} steps, and learn starts"
                f" at {start}: give each run its own, or learn with reset_num_timesteps=False"
            )
        marks = total * np.arange(1, self._points + 1) / self._points
        self._marks = marks[marks > start]
        if not self._steps:
            self._evaluate(0)

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > self._steps[-1]:
            self._evaluate(self.model.num_timesteps)
        if self._evaluator is not None:
            self._evaluator.close()
        self._evaluator = None

    def _evaluate(self, steps: int) -> None:
        if self._evaluator is None:
            self._evaluator = self._open()
        likely = self._evaluator.run(self.model)
        sampled = self._evaluator.run(self.model, deterministic=False)
        self._steps.append(steps)
        self._returns.append((likely.returns, sampled.returns))
        self._log(steps, likely, sampled)

    def _log(self, steps: int, likely: Evaluation, sampled: Evaluation) -> None:
        values = {
            "eval/mean_return": likely.mean,
            "eval/mean_return_stochastic": sampled.mean,
            "eval/ep_length": float(likely.lengths.mean()),
        }
        if self._scale is not None:
            values["eval/normalized_score"] = float(likely.normalized(self._scale).mean())
        log_apart(self.logger, steps, values)


def log_apart(logger: Logger, steps: int, values: Mapping[str, float]) -> None:
    """Write values to the log now, apart from what is still to be written with the next rollout.

    Args:
        logger: The log of a model.
        steps: Environment steps that the values belong to.
        values: The values by name.
    """
    # What the update recorded comes with the next rollout: set it aside.
    tables: tuple[Any, ...] = (
        logger.name_to_value,
        logger.name_to_count,
        logger.name_to_excluded,
    )
    pending = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    for name, value in values.items():
        logger.record(name, value)
    logger.dump(steps)
    for table, kept in zip(tables, pending, strict=True):
        table.update(kept)


class Progress(BaseCallback):
    """Reports how far training is, after every update.

    Args:
        report: Called with the steps done and the steps in all.
    """

    def __init__(self, report: Callable[[int, int], None]) -> None:
        super().__init__()
        self._report = report

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._report(self.model.num_timesteps, self.model._total_timesteps)

    def _on_training_end(self) -> None:
        self._report(self.model.num_timesteps, self.model._total_timesteps)
