"""Blocks of rows, each of which plays one task at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stable_baselines3.common.vec_env import VecEnv

from rltransfer.errors import BadArgument
from rltransfer.policies.tasks import PolicyTask

MakeVec = Callable[[int, int, int | None], VecEnv]

# Between the seeds of two tasks. Held-out episodes begin at a million: below it the offsets stay.
_APART, _MOST = 100_003, 900_000


def seed_offset(task: int) -> int:
    """What the seeds of a task's environments have more than those of the first, by its index."""
    return _APART * task % _MOST


class Block:
    """Consecutive rows that play one task at a time.

    Args:
        rows: Which rows.
        task: Index of the task that it begins with.
        make: From the index of a task, a number of environments and a seed to environments.
    """

    def __init__(self, rows: slice, task: int, make: MakeVec) -> None:
        self.rows = rows
        self.task = task
        self.seed: int | None = None
        self._make = make
        self._made: dict[int, VecEnv] = {}

    @property
    def venv(self) -> VecEnv:
        """Environments of its task; made when the task is first played."""
        if self.task not in self._made:
            count = self.rows.stop - self.rows.start
            seed = None if self.seed is None else self.seed + seed_offset(self.task)
            self._made[self.task] = self._make(self.task, count, seed)
        return self._made[self.task]

    def reseed(self, seed: int | None) -> None:
        """Seed its environments at their next reset, those of each task apart."""
        self.seed = seed
        for task, venv in self._made.items():
            venv.seed(None if seed is None else seed + seed_offset(task))

    @property
    def made(self) -> Sequence[VecEnv]:
        """Environments of all tasks that were played."""
        return list(self._made.values())


def divided(
    tasks: Sequence[PolicyTask], counts: Sequence[int], make: MakeVec, size: int | None
) -> list[Block]:
    """Divide the rows of an environment among tasks.

    Args:
        tasks: The tasks.
        counts: Rows of each.
        make: From the index of a task, a number of environments and a seed to environments.
        size: Rows of each block; None for one block a task.

    Raises:
        BadArgument: The counts do not fit.
    """
    fits = len(counts) == len(tasks) and min(counts) >= 0 and sum(counts) > 0
    if not fits or any(count % (size or 1) for count in counts):
        raise BadArgument(
            f"counts is {list(counts)!r} for {len(tasks)} tasks: give the number of environments of"
            f" each{f', a multiple of {size}' if size else ''}, 0 for one that is not played"
        )
    blocks, start = [], 0
    for task, count in enumerate(counts):
        step = size or count
        for first in range(start, start + count, step or 1):
            blocks.append(Block(slice(first, first + step), task, make))
        start += count
    return blocks
