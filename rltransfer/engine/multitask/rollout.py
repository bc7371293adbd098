"""A rollout of many tasks, made ready for the update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.records import Permutation, Rollout


@dataclass(frozen=True, eq=False)
class MultiTaskRollout:
    """A rollout with everything in normalized units.

    Attributes:
        rollout: Values and returns as the value heads give them, advantages standardized by task.
        observations: Packed, shape (n, 1 + P).
        rows: Rows of each task that is there, by task index.
    """

    rollout: Rollout
    observations: np.ndarray
    rows: Mapping[int, np.ndarray]


def prepare(model: Any, options: MultiTaskOptions) -> MultiTaskRollout:
    """Move the statistics of returns, and bring the rollout into normalized units.

    Args:
        model: A PPO with a full rollout buffer and a multi-task policy.
        options: What is normalized.
    """
    buffer, policy = model.rollout_buffer, model.policy
    count = buffer.buffer_size * buffer.n_envs
    observations = buffer.observations.reshape(count, -1)
    rows = rows_by_task(observations)
    returns = buffer.returns.reshape(-1).copy()
    values = buffer.values.reshape(-1).copy()
    advantages = buffer.advantages.reshape(-1).copy()
    for index, own in rows.items():
        head = policy.value_heads[policy.tasks[index].key]
        if options.popart:
            head.update(returns[own], beta=options.popart_beta)
        returns[own], values[own] = head.normalize(returns[own]), head.normalize(values[own])
        if options.normalize_advantage and len(own) > 1:
            centered = advantages[own] - advantages[own].mean()
            advantages[own] = centered / (advantages[own].std(ddof=1) + 1e-8)
    batch = model.batch_size or count
    return MultiTaskRollout(
        rollout=Rollout(
            actions=buffer.actions.reshape(count, -1),
            old_log_prob=buffer.log_probs.reshape(-1),
            old_values=values,
            advantages=advantages,
            returns=returns,
            permutation=stratified(rows, batch),
        ),
        observations=observations,
        rows=rows,
    )


def rows_by_task(observations: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of each task among packed observations, shape (n, 1 + P), by task index."""
    tasks = observations[:, 0].astype(np.int64)
    return {int(index): np.flatnonzero(tasks == index) for index in np.unique(tasks)}


def stratified(rows: Mapping[int, np.ndarray], batch_size: int) -> Permutation:
    """Shuffle rows so that each minibatch has of each task what the whole rollout has of it.

    Up to rounding, that is. Within a minibatch, rows of one task lie together, in task order.

    Args:
        rows: Rows of each task.
        batch_size: Rows of a minibatch.

    Returns:
        What gives the rows of the next epoch, drawn from numpy's global generator, as SB3 does.
    """
    counts = [len(own) for own in rows.values()]
    # Rows of each task at equal distances over the epoch, and then sorted within minibatches.
    spread = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    task = np.repeat(np.arange(len(counts)), counts)
    order = np.argsort(spread, kind="stable")
    batches = np.empty(len(order), np.int64)
    batches[order] = np.arange(len(order)) // batch_size
    places = np.empty(len(order), np.int64)
    places[np.lexsort((task, batches))] = np.arange(len(order))
    slots = np.split(places, np.cumsum(counts)[:-1])

    def permutation() -> np.ndarray:
        shuffled = np.empty(len(places), np.int64)
        for own, where in zip(rows.values(), slots, strict=True):
            shuffled[where] = own[np.random.permutation(len(own))]
        return shuffled

    return permutation
