"""Measure the score of uniformly random actions, of all tasks or of those that are named.

``python -m rltransfer_envs.measure_random [id ...]`` writes into ``scores.json``, which the tasks
read when they are registered.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

import rltransfer_envs
from rltransfer import registry
from rltransfer.errors import TransferError
from rltransfer_envs import scores

EPISODES = 100
SEED = 0
_SIMULATORS = {"box2d": "Box2D", "minigrid": "minigrid", "mujoco": "mujoco"}


def random_returns(id: str, *, episodes: int = EPISODES, seed: int = SEED) -> list[float]:
    """Play episodes with uniformly random actions.

    Args:
        id: Task id.
        episodes: How many.
        seed: Episode ``i`` is reset with ``seed + i``; the actions are seeded with ``seed``.

    Returns:
        Their returns, not discounted.
    """
    env = registry.make(id)
    env.action_space.seed(seed)
    returns = []
    for episode in range(episodes):
        env.reset(seed=seed + episode)
        total, done = 0.0, False
        while not done:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    env.close()
    return returns


def entry(id: str) -> dict[str, object]:
    """Measure a task.

    Args:
        id: Task id.

    Returns:
        What ``scores.json`` holds about it: mean return, its 95 % normal interval, and origin.
    """
    returns = random_returns(id)
    mean = float(np.mean(returns))
    half = 1.96 * float(np.std(returns, ddof=1)) / math.sqrt(len(returns))
    simulator = _SIMULATORS.get(registry.task(id).extra or "")
    packages = ["gymnasium", "numpy", *([simulator] if simulator else [])]
    return {
        "random": round(mean, 4),
        "random_ci": [round(mean - half, 4), round(mean + half, 4)],
        "random_from": {
            "command": f"python -m {rltransfer_envs.__name__}.measure_random {id}",
            "episodes": EPISODES,
            "seed": SEED,
            "versions": {package: version(package) for package in packages},
            "date": datetime.now(UTC).date().isoformat(),
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the tasks that are named, one after another.

    Args:
        arguments: Task ids; those of the command line when None.
    """
    parser = argparse.ArgumentParser(prog="rltransfer_envs.measure_random", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="id", help="task id; all when none is given")
    try:
        for id in parser.parse_args(arguments).ids or registry.tasks():
            measured = entry(id)
            scores.merge({id: measured})
            print(f"{id}: {measured['random']} {measured['random_ci']}", flush=True)
    except TransferError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
