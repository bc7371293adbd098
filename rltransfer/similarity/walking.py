"""Playing a task at random, the same way whatever the task."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from rltransfer.evaluation.acting import RandomActor
from rltransfer.similarity.dynamics import Transitions
from rltransfer.similarity.flat import flat
from rltransfer.vec import make_vec

COPIES = 8
"""Environments, and so trajectories."""
# Apart from the seeds of training, of held-out episodes, of trials and of source states.
FIRST_SEED = 4_000_000


def first_seed(seed: int | None) -> int:
    """First seed of the environments for a seed of the caller."""
    return FIRST_SEED + COPIES * (seed or 0)


def random_walk(
    task: str | EnvSpec, steps: int, seed: int | None
) -> tuple[Transitions, spaces.Space, spaces.Space]:
    """Take random actions in :data:`COPIES` environments, over the ends of episodes.

    Two tasks with the same actions are given the same ones, and the same seeds: tasks that are
    equal give equal transitions.

    Args:
        task: Gymnasium id, ``module:Id``, or spec.
        steps: Environment steps in all; those of the copies that exceed a multiple are not taken.
        seed: Seed.

    Returns:
        What happened, the space of observations, and that of actions.
    """
    venv = make_vec(task, COPIES, seed=first_seed(seed))
    try:
        actor = RandomActor(venv.action_space, COPIES, first_seed(seed))
        parts = _steps(venv, actor, max(2, steps // COPIES))
        return Transitions(*parts), venv.observation_space, venv.action_space
    finally:
        venv.close()


def _steps(venv: Any, actor: RandomActor, count: int) -> list[np.ndarray]:
    """Observations, actions, rewards and following observations, (copies, steps, ...) each."""
    seen, rows = flat(venv.observation_space, venv.reset()), []
    for step in range(count):
        actions = np.stack(actor([], range(COPIES), step))
        observations, rewards, dones, infos = venv.step(actions)
        following = flat(venv.observation_space, observations)
        ended = following.copy()
        for i in np.flatnonzero(dones):
            ended[i] = flat(venv.observation_space, _single(infos[i]["terminal_observation"]))[0]
        rows.append((seen, flat(venv.action_space, actions), rewards.astype(float), ended))
        seen = following
    return [np.stack(column, axis=1) for column in zip(*rows, strict=True)]


def _single(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(part)[None] for key, part in observation.items()}
    return np.asarray(observation)[None]
