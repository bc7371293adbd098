"""Trajectories of a source, and statistics of states that are nobody's secret."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from rltransfer import registry
from rltransfer.agents import Agent, RunningStats, load
from rltransfer.agents.numbers import whole
from rltransfer.component_analysis import random_observations
from rltransfer.errors import BadArgument
from rltransfer.evaluation.given import require_fit
from rltransfer.normalizing import observation_normalizer
from rltransfer.privacy.given import check_actions
from rltransfer.strict import FiniteEnv


@torch.no_grad()
def record(
    source: Agent | str | Path, task: str | None = None, *, episodes: int, seed: int = 0
) -> list[np.ndarray]:
    """Let a source act, and record what it observes.

    Args:
        source: An agent, the name of a zoo agent, or the path of a saved one.
        task: Gymnasium id; by default what the source was trained on. It must have a time limit.
        episodes: Episodes, at least 1.
        seed: Episode ``i`` is reset with ``seed + i``; actions are sampled, from this seed too.

    Returns:
        One array for each episode, shape (steps, *observation): a trajectory.

    Raises:
        BadArgument: ``episodes`` or ``seed`` is out of range, observations are no arrays, the task
            has no time limit, or the source is recurrent, masks actions, or explores by gSDE.
        UnknownName: There is no such agent or task.
        SpaceMismatch: The source's spaces are not those of the task.
        BadEnvironment: The task breaks its contract.
    """
    episodes, seed = whole("episodes", episodes, least=1), whole("seed", seed)
    agent = source if isinstance(source, Agent) else load(source)
    check_actions(agent, "record")
    id, model = task or agent.card.task, agent.build()
    with ExitStack() as stack, torch.random.fork_rng(devices=[]):
        envs = [
            stack.enter_context(closing(FiniteEnv(registry.make(id), row)))
            for row in range(episodes)
        ]
        _require_recordable(envs[0], id)
        require_fit(model, envs[0], id, agent.normalization)
        return _trajectories(agent, model.policy, envs, seed)


def _require_recordable(env: gym.Env, id: str) -> None:
    if isinstance(env.observation_space, spaces.Dict | spaces.Tuple):
        raise BadArgument(f"{id} observes {env.observation_space}: a trajectory is of arrays")
    if env.spec is None or env.spec.max_episode_steps is None:
        raise BadArgument(f"{id} has no time limit: register it with one")


def _trajectories(
    agent: Agent, policy: Any, envs: Sequence[gym.Env], seed: int
) -> list[np.ndarray]:
    """Play one episode in each environment, side by side."""
    normalize = observation_normalizer(agent.observation_space, agent.normalization)
    now = [env.reset(seed=seed + row)[0] for row, env in enumerate(envs)]
    seen: list[list[Any]] = [[] for _ in envs]
    live = list(range(len(envs)))
    torch.default_generator.manual_seed(seed)
    while live:
        actions, _ = policy.predict(normalize(np.stack([now[row] for row in live])))
        for row, action in zip(live, actions, strict=True):
            seen[row].append(now[row])
            now[row], _, ended, cut, _ = envs[row].step(action)
            if ended or cut:
                now[row] = None
        live = [row for row in live if now[row] is not None]
    return [np.stack(states) for states in seen]


def public_statistics(task: str, *, steps: int = 10_000, seed: int = 0) -> RunningStats:
    """Statistics of what random actions observe in a simulator that is public.

    Args:
        task: Gymnasium id.
        steps: Steps, at least 1.
        seed: Seeds environment and actions.

    Raises:
        BadArgument: Observations are no vectors, or a number is out of range.
        UnknownName: There is no such task.
        BadEnvironment: The task breaks its contract.
    """
    steps = whole("steps", steps, least=1)
    with closing(registry.make(task)) as env:
        if not isinstance(env.observation_space, spaces.Box):
            raise BadArgument(f"{task} observes {env.observation_space}: statistics are of a Box")
    seen = random_observations(task, steps + 1, seed=seed).astype(np.float64)
    return RunningStats(mean=seen.mean(axis=0), var=seen.var(axis=0), count=float(len(seen)))
