"""Which tasks are played, in how many environments, and PPO's hyperparameters for that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rltransfer import registry
from rltransfer.errors import BadArgument
from rltransfer.multitask.starting import Start
from rltransfer.policies.tasks import PolicyTask
from rltransfer.training.multitask import LearningProgress, shares
from rltransfer.vec import MultiTaskVecEnv, Vec, make_vec

Weights = Mapping[str, float] | Literal["progress"] | None

# Environment steps of each task in a rollout, and rows of each task in a minibatch, on average.
ROLLOUT = 1_024
BATCH = 64
# With weights="progress", a task's environments are given away in this many parts.
PARTS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Cast:
    """The tasks of a policy, and which of them are played.

    Attributes:
        tasks: All tasks of the policy.
        played: Ids as the user gave them, by index of the task.
        kwargs: Arguments of the policy.
        start: What it starts from, if anything.
    """

    tasks: tuple[PolicyTask, ...]
    played: Mapping[int, str]
    kwargs: Mapping[str, Any]
    start: Start | None = None

    @property
    def played_ids(self) -> tuple[str, ...]:
        """Ids of the played tasks, as the policy has them."""
        return tuple(self.tasks[index].id for index in self.played)


def with_defaults(given: Mapping[str, Any], tasks: int, n_envs: int) -> dict[str, Any]:
    """PPO's hyperparameters, with our defaults for those that were not given."""
    if "normalize_advantage" in given:
        raise BadArgument(
            "normalize_advantage is per task here: give "
            f"options=MultiTaskOptions(normalize_advantage={given['normalize_advantage']!r})"
        )
    whole = BATCH // math.gcd(BATCH, n_envs)
    n_steps = max(round(ROLLOUT / n_envs / whole), 1) * whole
    defaults = {
        "n_steps": n_steps,
        "batch_size": tasks * _rows_of_batch(given.get("n_steps", n_steps), n_envs),
        "learning_rate": {"start": 1e-3, "end": 0.0, "end_fraction": 1.0},
    }
    return {**defaults, **given}


def _rows_of_batch(n_steps: Any, n_envs: int) -> int:
    """Rows of each task in a minibatch: so many that minibatches are equal, where that can be."""
    rows = n_steps * n_envs if type(n_steps) is int else BATCH
    fitting = [size for size in range(BATCH // 2, BATCH + 1) if rows % size == 0]
    return max(fitting, default=max(min(BATCH, rows), 1))


def environments(cast: Cast, n_envs: int, weights: Weights, vec: Vec) -> MultiTaskVecEnv:
    """Environments of the played tasks, and none of the others."""
    if type(n_envs) is not int or n_envs < 1:
        raise BadArgument(f"n_envs is {n_envs!r}: give a whole number for each task, at least 1")
    if isinstance(weights, str) and weights != "progress":
        raise BadArgument(f"weights is {weights!r}: give a mapping, None, or 'progress'")
    ids = tuple(cast.played.values())
    total, block = n_envs * len(ids), None
    if weights == "progress":
        block = max(size for size in range(1, max(n_envs // PARTS, 1) + 1) if n_envs % size == 0)
        found = [n_envs] * len(ids)
    else:
        found = shares(weights, ids, total)
    counts = [0] * len(cast.tasks)
    for index, count in zip(cast.played, found, strict=True):
        counts[index] = count

    def make(index: int, count: int, seed: int | None) -> Any:
        return make_vec(cast.played[index], count, seed=seed, vec=vec)

    return MultiTaskVecEnv(cast.tasks, counts, make, block=block)


def sampling(cast: Cast) -> LearningProgress:
    """Make what gives environments to tasks by learning progress, on the registry's scales."""
    known = registry.tasks()
    scales = {}
    for id in cast.played_ids:
        task = known.get(id.rpartition(":")[2])
        if task is not None and task.random is not None and task.reference is not None:
            scales[id] = (task.random, task.reference)
    return LearningProgress(cast.played_ids, scales=scales)
