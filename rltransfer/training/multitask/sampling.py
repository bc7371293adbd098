"""How many environments each task gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rltransfer.errors import BadArgument, UnknownName, suggest

# What is equal to 1 may come out as a little less.
ROUNDING = 1e-9


def shares(
    weights: Mapping[str, float] | None, ids: Sequence[str], count: int, *, block: int = 1
) -> list[int]:
    """Divide environments among tasks in proportion to their weights.

    Each task gets at least one block, and what is left goes to the largest remainders.

    Args:
        weights: A positive weight for each task; None for equal ones.
        ids: The tasks.
        count: Environments in all, a multiple of ``block``.
        block: Environments that are given away at once.

    Returns:
        Environments of each task.

    Raises:
        UnknownName: A weight is of another task.
        BadArgument: A weight is missing or not positive, or there are too few environments.
    """
    given = dict.fromkeys(ids, 1.0) if weights is None else dict(weights)
    for name in given:
        if name not in ids:
            raise UnknownName(suggest(str(name), ids, kind="task", limit=None))
    wrong = [id for id in ids if not _positive(given.get(id))]
    if wrong:
        raise BadArgument(
            f"the weight of {wrong[0]} is {given.get(wrong[0])!r}: give each task one above 0"
        )
    if count < len(ids) * block or count % block:
        raise BadArgument(
            f"{count} environments for {len(ids)} tasks in blocks of {block}: give a multiple of "
            f"{block}, at least {len(ids) * block}"
        )
    return [block * n for n in divide([given[id] for id in ids], count // block)]


def divide(weights: Sequence[float], count: int) -> list[int]:
    """Divide whole things by weight, at least one for each, by largest remainders.

    What would get less than one gets one, and the others are in proportion to each other.
    """
    weight = np.asarray(weights, np.float64)
    few = np.zeros(len(weight), bool)
    exact = weight / weight.sum() * count
    while (exact[~few] < 1 - ROUNDING).any():
        few |= exact < 1 - ROUNDING
        exact = np.where(few, 1.0, weight / weight[~few].sum() * (count - few.sum()))
    floor = np.floor(exact).astype(int)
    for index in np.argsort(floor - exact, kind="stable")[: count - int(floor.sum())]:
        floor[index] += 1
    return floor.tolist()


class LearningProgress:
    """Gives more environments to tasks whose returns change most.

    The absolute difference between a fast and a slow moving average of normalized returns stands
    for the slope of the learning curve (Matiisen et al. 2019, "Teacher-Student Curriculum
    Learning", section 2: progress in either direction, so that forgetting counts too).

    Args:
        ids: The tasks.
        every: Rollouts between two changes: an episode that is under way is cut.
        floor: Share of the environments that is given away evenly.
        scales: Returns at random and at a reference, to bring all tasks to one scale; of a task
            that is absent, the range of what was seen.
    """

    def __init__(
        self,
        ids: Sequence[str],
        *,
        every: int = 8,
        floor: float = 0.25,
        scales: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        if type(every) is not int or every < 1:
            raise BadArgument(f"every is {every!r}: give a whole number of rollouts, at least 1")
        if not 0 <= floor <= 1:
            raise BadArgument(f"floor is {floor!r}: give a share within [0, 1]")
        self.ids = tuple(ids)
        self.every = every
        self._floor = floor
        self._scales = dict(scales or {})
        self._seen: dict[str, tuple[float, float]] = {}
        self._fast: dict[str, float] = {}
        self._slow: dict[str, float] = {}
        self._rollouts = 0

    def observe(self, returns: Mapping[str, Sequence[float]]) -> bool:
        """Take in the returns of the episodes that ended in a rollout.

        Returns:
            Whether environments are due to be given away anew.
        """
        for id, values in returns.items():
            if len(values):
                self._move(id, float(np.mean(values)))
        self._rollouts += 1
        return self._rollouts % self.every == 0

    def weights(self) -> list[float]:
        """Share of each task, which together are 1."""
        count = len(self.ids)
        progress = np.array(
            [abs(self._scaled(id, self._fast[id]) - self._scaled(id, self._slow[id]))
             if id in self._fast else 0.0 for id in self.ids]
        )  # fmt: skip
        total = progress.sum()
        even = np.full(count, 1 / count)
        chosen = even if total <= 0 else self._floor * even + (1 - self._floor) * progress / total
        return [max(float(share), 1e-9) for share in chosen]

    def _move(self, id: str, value: float) -> None:
        low, high = self._seen.get(id, (value, value))
        self._seen[id] = min(low, value), max(high, value)
        for average, step in ((self._fast, 0.3), (self._slow, 0.05)):
            average[id] = value if id not in average else average[id] + step * (value - average[id])

    def _scaled(self, id: str, value: float) -> float:
        low, high = self._scales.get(id, self._seen[id])
        return (value - low) / (high - low) if high > low else 0.0


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < np.inf
