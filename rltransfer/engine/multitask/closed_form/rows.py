"""Rows of a batch by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltransfer.errors import BadArgument

# Task, first row and one past its last row, of each task that is there, in order.
Parts = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """How the rows of a batch are brought into the order of their tasks.

    Attributes:
        order: Row of the batch that each sorted row is; None if they are sorted already.
        tasks: Task of each sorted row.
        parts: Where each task's rows are.
    """

    order: np.ndarray | None
    tasks: np.ndarray
    parts: Parts

    @classmethod
    def of(cls, observations: np.ndarray, tasks: Any) -> Rows:
        """Look at packed observations, shape (n, 1 + P).

        Args:
            observations: Their first number names the task.
            tasks: Tasks of the policy.

        Raises:
            BadArgument: A first number is no task of the policy.
        """
        given = observations[:, 0]
        index = _checked(given, tasks)
        order = None
        if (index[1:] < index[:-1]).any():
            order = np.argsort(index, kind="stable")
            index = index[order]
        return cls(order, index, parts_of(np.bincount(index, minlength=len(tasks)).tolist()))

    def sort(self, batch: np.ndarray) -> np.ndarray:
        """Bring an array of the batch, shape (n, ...), into the order of tasks."""
        return batch if self.order is None else batch[self.order]

    def unsort(self, found: np.ndarray) -> np.ndarray:
        """Bring results, shape (n, ...), into the order of the batch."""
        if self.order is None:
            return found
        given = np.empty_like(found)
        given[self.order] = found
        return given


def parts_of(counts: Sequence[int]) -> Parts:
    """Lay rows of each task, so many, behind each other."""
    parts, start = [], 0
    for task, count in enumerate(counts):
        if count:
            parts.append((task, start, start + count))
        start += count
    return tuple(parts)


def within(parts: Parts, start: int, stop: int) -> Parts:
    """Cut a stretch of rows out of sorted ones; its first row becomes row 0."""
    return tuple(
        (task, max(first, start) - start, min(last, stop) - start)
        for task, first, last in parts
        if first < stop and last > start
    )


def _checked(given: np.ndarray, tasks: Any) -> np.ndarray:
    valid = (given >= 0) & (given < len(tasks))
    index = np.where(valid, given, 0).astype(np.int64)
    wrong = given[~valid | (index != given)]
    if len(wrong):
        listed = ", ".join(f"{i} ({task.id})" for i, task in enumerate(tasks))
        raise BadArgument(
            f"an observation begins with {wrong[0]:g}, which is no task of this policy: it has "
            f"{listed}; policy.act(id, observations) packs them by id"
        )
    return index
