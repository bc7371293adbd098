"""Held-out episodes of the tasks of a multi-task model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from rltransfer.evaluate import HELD_OUT_SEED, Evaluation, Evaluator
from rltransfer.evaluation.undisturbed import undisturbed
from rltransfer.vec import make_vec


class GymnasiumEpisodes(Evaluator):
    """Episodes in Gymnasium's environments."""

    def score(self, model: Any, *, deterministic: bool) -> Evaluation:
        """Play all episodes once; training goes on as without it."""

        def act(observations: Any, live: Sequence[int], step: int) -> Any:
            return model.policy.act(self.task, observations, deterministic=deterministic)

        with undisturbed(model, self._seed):
            model.policy.set_training_mode(False)
            return self._play(act, deterministic=deterministic)


class PoolEpisodes:
    """Episodes in envpool, which steps MiniGrid twenty times faster than MiniGrid does.

    Args:
        task: Its Gymnasium id.
        episodes: Number of episodes; episode ``i`` is reset with the held-out seed plus ``i``.
    """

    def __init__(self, task: str, *, episodes: int) -> None:
        self.task = task
        self._episodes = episodes

    def score(self, model: Any, *, deterministic: bool) -> Evaluation:
        """Play all episodes once; training goes on as without it."""
        # New ones, as envpool would make at a seed too.
        venv = make_vec(self.task, self._episodes, seed=HELD_OUT_SEED, vec="envpool")
        returns = np.zeros(self._episodes)
        lengths = np.zeros(self._episodes, np.int64)
        live = np.ones(self._episodes, bool)
        with undisturbed(model, HELD_OUT_SEED):
            model.policy.set_training_mode(False)
            observations: Any = venv.reset()
            while live.any():
                actions = model.policy.act(self.task, observations, deterministic=deterministic)
                observations, rewards, dones, _ = venv.step(actions)
                returns += np.where(live, rewards, 0.0)
                lengths += live
                live &= ~dones
        venv.close()
        return Evaluation(
            task=self.task,
            returns=returns,
            lengths=lengths,
            deterministic=deterministic,
            seed=HELD_OUT_SEED,
        )

    def close(self) -> None:
        """Nothing is kept."""


class HeldOut:
    """Held-out episodes of several tasks, as :class:`rltransfer.multitask` evaluates them.

    Args:
        tasks: Their ids.
        episodes: Episodes of each.
        vec: ``"envpool"`` for :class:`PoolEpisodes`.
        stochastic: Whether actions are sampled in a second pass.

    Attributes:
        sampled: Mean returns by task with sampled actions, one list entry for each evaluation.
        seconds: Spent here.
    """

    def __init__(self, tasks: Sequence[str], *, episodes: int, vec: str, stochastic: bool) -> None:
        kind: Any = PoolEpisodes if vec == "envpool" else GymnasiumEpisodes
        self.sampled: list[dict[str, float]] = []
        self.seconds = 0.0
        self._stochastic = stochastic
        self._tasks = {id: kind(id, episodes=episodes) for id in tasks}

    def scores(self, model: Any) -> dict[str, Evaluation]:
        """Play all episodes of all tasks with the most likely actions, and perhaps sampled ones."""
        start = time.perf_counter()
        found = {id: one.score(model, deterministic=True) for id, one in self._tasks.items()}
        if self._stochastic:
            self.sampled.append(
                {id: one.score(model, deterministic=False).mean for id, one in self._tasks.items()}
            )
        self.seconds += time.perf_counter() - start
        return found

    def means(self, model: Any) -> dict[str, dict[str, float]]:
        """Mean returns by task and by how actions are chosen."""
        found = {id: {"mean": one.mean} for id, one in self.scores(model).items()}
        for id, value in self.sampled[-1].items() if self._stochastic else ():
            found[id]["stochastic"] = value
        return found

    def close(self) -> None:
        """Close the environments."""
        for one in self._tasks.values():
            one.close()
