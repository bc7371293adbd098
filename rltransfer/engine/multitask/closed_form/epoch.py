"""The minibatches of one epoch, each in the order of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rltransfer.engine.closed_form.head import Batch
from rltransfer.engine.multitask.closed_form.network import TaskNetwork
from rltransfer.engine.multitask.closed_form.rows import Rows
from rltransfer.engine.records import Rollout, Settings


class Minibatch(NamedTuple):
    """Some rows of the rollout.

    Attributes:
        counts: Rows of each task of the policy.
        rows: Which rows of the sorted rollout they are, shape (n,), in the order of tasks.
        shares: The share of each task of the policy in the rows.
        batches: What the policy loss of each task that is there depends on; advantages and weight
            of the entropy are multiplied by its share, as each loss is a mean over its own rows.
        old_values: Of the policy that acted, shape (n,).
        returns: Targets of the values, shape (n,).
    """

    counts: tuple[int, ...]
    rows: np.ndarray
    shares: np.ndarray
    batches: list[Batch]
    old_values: np.ndarray
    returns: np.ndarray


class Epochs:
    """Shuffles a rollout, epoch after epoch.

    Args:
        network: Prepares actions.
        sorted_rows: The rows of the rollout by task.
        rollout: What was collected.
        settings: Hyperparameters.
    """

    def __init__(
        self, network: TaskNetwork, sorted_rows: Rows, rollout: Rollout, settings: Settings
    ) -> None:
        dtype = network.layout.dtype
        self._kernels = network.kernels
        self._settings = settings
        self._permutation = rollout.permutation
        self._tasks = sorted_rows.tasks
        self._count = len(network.heads)
        # The place of each of the rollout's rows among the sorted ones.
        self._places = sorted_rows.unsort(np.arange(len(self._tasks)))
        actions = sorted_rows.sort(rollout.actions)
        self._actions = {
            task: (start, network.prepare(task, actions[start:stop]))
            for task, start, stop in sorted_rows.parts
        }
        self._old_log_prob, self._old_values, self._advantages, self._returns = (
            np.asarray(sorted_rows.sort(given), dtype)
            for given in (
                rollout.old_log_prob,
                rollout.old_values,
                rollout.advantages,
                rollout.returns,
            )
        )

    def shuffled(self) -> Iterator[Minibatch]:
        """Give the minibatches of the next epoch."""
        rows, key, counts = self._divided(self._places[self._permutation()])
        totals = counts.sum(axis=1, keepdims=True)
        shares = counts / totals
        advantages = self._scaled(self._advantages[rows], totals[:, 0], shares.ravel()[key])
        old_log_prob, old_values = self._old_log_prob[rows], self._old_values[rows]
        returns, actions = self._returns[rows], self._shuffled_actions(rows)
        clip, bonus = float(self._settings.clip_range), float(self._settings.ent_coef)
        used, end = [0] * self._count, 0
        for here, own in zip(counts.tolist(), shares, strict=True):
            begin, batches = end, []
            for task, (count, share) in enumerate(zip(here, own.tolist(), strict=True)):
                if count:
                    part, first = slice(end, end + count), used[task]
                    chosen = actions[task][first : first + count]
                    old, gain = old_log_prob[part], advantages[part]
                    batches.append(Batch(chosen, old, gain, clip, bonus * share))
                    used[task] += count
                    end += count
            part = slice(begin, end)
            yield Minibatch(tuple(here), rows[part], own, batches, old_values[part], returns[part])

    def _divided(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sort each minibatch by task: rows, their minibatch and task as one number, and counts."""
        size = self._settings.batch_size
        key = np.arange(len(rows)) // size * self._count + self._tasks[rows]
        if (key[1:] < key[:-1]).any():
            order = np.argsort(key, kind="stable")
            rows, key = rows[order], key[order]
        minibatches = -(-len(rows) // size)
        counts = np.bincount(key, minlength=minibatches * self._count)
        return rows, key, counts.reshape(minibatches, self._count)

    def _scaled(self, advantages: np.ndarray, totals: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Advantages of an epoch, normalized if need be, times the share of each row's task."""
        if self._settings.normalize_advantage:
            parts = np.split(advantages, totals.cumsum()[:-1])
            normalize = self._kernels.normalize
            parts = [normalize(part) if len(part) > 1 else part for part in parts]
            advantages = np.concatenate(parts)
        return (advantages * shares).astype(advantages.dtype)

    def _shuffled_actions(self, rows: np.ndarray) -> dict[int, np.ndarray]:
        """Prepared actions of each task, in the order of its rows."""
        tasks = self._tasks[rows]
        return {
            task: prepared[rows[tasks == task] - start]
            for task, (start, prepared) in self._actions.items()
        }
