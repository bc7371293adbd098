"""Trajectories of a source, and statistics of states that are nobody's secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from rltransfer import registry
from rltransfer.agents import Agent, RunningStats, load
from rltransfer.errors import BadArgument
from rltransfer.normalizing import observation_normalizer
from rltransfer.trajectories import play


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
        BadArgument: ``episodes`` is out of range, or observations are no arrays.
    """
    if type(episodes) is not int or episodes < 1:
        raise BadArgument(f"episodes is {episodes!r}: give a whole number, at least 1")
    agent = source if isinstance(source, Agent) else load(source)
    policy = agent.build().policy
    normalize = observation_normalizer(agent.observation_space, agent.normalization)
    envs = [registry.make(task or agent.card.task) for _ in range(episodes)]
    if any(env.spec is None or env.spec.max_episode_steps is None for env in envs):
        raise BadArgument(f"{task or agent.card.task} has no time limit: register it with one")
    now = [env.reset(seed=seed + row)[0] for row, env in enumerate(envs)]
    seen: list[list[Any]] = [[] for _ in envs]
    live = list(range(episodes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        while live:
            actions, _ = policy.predict(normalize(np.stack([now[row] for row in live])))
            for row, action in zip(live, actions, strict=True):
                seen[row].append(now[row])
                now[row], _, ended, cut, _ = envs[row].step(action)
                if ended or cut:
                    envs[row].close()
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
        BadArgument: Observations are no vectors, or ``steps`` is out of range.
    """
    if type(steps) is not int or steps < 1:
        raise BadArgument(f"steps is {steps!r}: give a whole number, at least 1")
    env = registry.make(task)
    try:
        if not isinstance(env.observation_space, spaces.Box):
            raise BadArgument(f"{task} observes {env.observation_space}: statistics are of a Box")
        seen = np.stack([entry[0] for entry in play(env, seed=seed, steps=steps)], dtype=np.float64)
    finally:
        env.close()
    return RunningStats(mean=seen.mean(axis=0), var=seen.var(axis=0), count=float(len(seen)))
