"""Trial episodes: a few on the target, in environments of their own, before learning begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.evaluate import random_score
from rltransfer.registry import Task, task, tasks
from rltransfer.vec import make_vec

EPISODES = 5
# Apart from the training seeds 0, 1, 2, ... and from the held-out evaluation seeds.
TRIAL_SEED = 2_000_000
# Ends the episodes of an environment without a time limit.
LONGEST = 5_000

Act = Callable[[VecEnv, Any, np.ndarray, np.ndarray], np.ndarray]
"""From environments, what they observe, and masks of those whose episode has just begun and of
those whose first episode goes on, to actions."""


@dataclass(frozen=True, eq=False)
class Trial:
    """:data:`EPISODES` episodes side by side, as arrays over (steps, episodes).

    Attributes:
        rewards: Not normalized.
        dones: Whether the episode ended with that step.
        truncated: Whether a time limit ended it.
        alive: False after an episode's end.
    """

    rewards: np.ndarray
    dones: np.ndarray
    truncated: np.ndarray
    alive: np.ndarray

    @property
    def score(self) -> float:
        """Mean return of the episodes."""
        return float((self.rewards * self.alive).sum(axis=0).mean())

    @property
    def steps(self) -> int:
        """Environment steps that the episodes took."""
        return int(self.alive.sum())


def first_seed(seed: int | None) -> int:
    """Seed of the first episode; runs with different seeds see different episodes."""
    return TRIAL_SEED + EPISODES * (seed or 0)


def try_out(target: str | EnvSpec, act: Act, seed: int, episodes: int = EPISODES) -> Trial:
    """Play trial episodes.

    Args:
        target: The target.
        act: Chooses actions.
        seed: Episode ``i`` is reset with ``seed + i``.
        episodes: Their number.
    """
    venv = make_vec(target, episodes, seed=seed)
    try:
        return _play(venv, act)
    finally:
        venv.close()


def _play(venv: VecEnv, act: Act) -> Trial:
    steps = []
    observations, starts = venv.reset(), np.ones(venv.num_envs, dtype=bool)
    alive = np.ones(venv.num_envs, dtype=bool)
    while alive.any() and len(steps) < LONGEST:
        actions = act(venv, observations, starts, alive)
        observations, rewards, starts, infos = venv.step(actions)
        truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos])
        steps.append((rewards, starts.copy(), truncated, alive))
        alive = alive & ~starts
    return Trial(*(np.stack(part) for part in zip(*steps, strict=True)))


def random_level(target: str | EnvSpec, seed: int) -> tuple[float, int]:
    """What uniformly random actions return on a target, and the steps that measuring it took.

    Args:
        target: The target; a registered task may know its level.
        seed: Seed of the first episode, where it has to be played.
    """
    known = task_of(target).random
    if known is not None:
        return known, 0
    measured = random_score(target, episodes=EPISODES, seed=seed, max_steps=LONGEST)
    return float(measured.returns.mean()), int(measured.lengths.sum())


def task_of(target: str | EnvSpec) -> Task:
    """Return the task of an id, or of a spec, which Gymnasium need not have registered."""
    if isinstance(target, str):
        return task(target)
    return tasks().get(target.id) or Task(id=target.id)
