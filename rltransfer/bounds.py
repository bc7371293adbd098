"""Observations outside the bounds that their space declares.

Many public environments leave their bounds and nothing breaks, so it is counted and said once.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from rltransfer.errors import EnvironmentWarning
from rltransfer.finite import FEW

# Bounds are often written in another precision than observations are computed in.
_ROUNDING = 1e-5
# Looking costs microseconds, however little there is to see: small batches are looked at together.
_BATCHES, _NUMBERS = 64, 4096


class BoundsWatch:
    """Counts the observations that left the bounds of their space, and warns of the first.

    Args:
        space: Space of one observation.
        rows: Environments in a batch.
        task: Task id, for the warning.
    """

    def __init__(self, space: spaces.Space, rows: int, task: str) -> None:
        self._bounds = Bounds(space, rows)
        self._task = task
        self._unseen: list[tuple[Any, int]] = []
        self.count = 0
        """How many did, of those looked at."""
        self.needed = bool(self._bounds)
        """Whether any could."""

    def add(self, observations: Any, when: int) -> bool:
        """Keep a batch until it is looked at; tell whether it is time to.

        Args:
            observations: A batch that nobody changes.
            when: A number that tells ``step_of`` which batch it is.
        """
        self._unseen.append((observations, when))
        return len(self._unseen) >= self._bounds.together

    def look(self, step_of: Callable[[int, int], int]) -> None:
        """Look at what was kept.

        Args:
            step_of: Called with the index of an environment and ``when`` of a batch; returns the
                steps since its reset.
        """
        if not self._unseen:
            return
        unseen, self._unseen = self._unseen, []
        count, first = self._bounds.look([observations for observations, _ in unseen])
        if first is not None and not self.count:
            step = step_of(first.index, unseen[first.batch][1])
            warnings.warn(
                f"{self._task}, environment {first.index}, at step {step}: {first.problem}; it goes"
                " on, and further ones are only counted (rollout/out_of_bounds): widen the"
                " observation space, or clip what it returns",
                EnvironmentWarning,
                stacklevel=2,
            )
        self.count += count


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A value outside its bounds.

    Attributes:
        batch: Which of the batches looked at, from 0.
        index: Which environment.
        problem: Such as ``"observation[2] is 1e+06, outside its bounds of -1 to 1"``.
    """

    batch: int
    index: int
    problem: str


class Bounds:
    """The finite bounds of a space.

    Args:
        space: Space of one observation.
        rows: Environments in a batch.
    """

    def __init__(self, space: spaces.Space, rows: int) -> None:
        parts: list[tuple[Any, spaces.Space]] = [(None, space)]
        if isinstance(space, spaces.Dict):
            parts = list(space.spaces.items())
        elif isinstance(space, spaces.Tuple):
            parts = list(enumerate(space.spaces))
        self._boxes = dict(parts)
        self._limits = [
            (key, *_widened(box))
            for key, box in parts
            if isinstance(box, spaces.Box) and _leaves(box)
        ]
        numbers = rows * sum(low.size for _, low, _ in self._limits)
        self.together = max(1, min(_BATCHES, _NUMBERS // max(1, numbers)))
        """How many batches to look at together."""

    def __bool__(self) -> bool:
        """Whether any value could be outside."""
        return bool(self._limits)

    def look(self, batches: Sequence[Any]) -> tuple[int, Outside | None]:
        """Look for values outside.

        Args:
            batches: Batches of observations, at least one; each an array of shape (rows, *shape),
                or a dict or tuple of them.

        Returns:
            How many observations have a value outside, and the first of them.
        """
        outside: Any = False
        for key, low, high in self._limits:
            parts = batches if key is None else [batch[key] for batch in batches]
            values = np.concatenate(parts)
            wrong = (values < low) | (values > high)
            if wrong.any():
                outside = outside | wrong.reshape(len(values), -1).any(axis=1)
        if outside is False:
            return 0, None
        batch, index = divmod(int(outside.argmax()), len(outside) // len(batches))
        problem = self._problem(batches[batch], index)
        return int(outside.sum()), Outside(batch=batch, index=index, problem=problem)

    def _problem(self, batch: Any, index: int) -> str:
        for key, low, high in self._limits:
            values = (batch if key is None else batch[key])[index]
            wrong = np.argwhere((values < low) | (values > high))
            if len(wrong):
                place = tuple(wrong[0].tolist())
                part = "" if key is None else f"part {key!r} "
                where = f"observation{list(place) or ''} {part}"
                box: Any = self._boxes[key]
                ends = f"{box.low[place]:.6g} to {box.high[place]:.6g}"
                return f"{where}is {values[place]:.6g}, outside its bounds of {ends}"
        return ""


def few_limits(space: spaces.Space, rows: int) -> tuple[list[float], list[float]] | None:
    """Give the bounds of a small batch of floats, which Python compares faster than numpy.

    Args:
        space: Space of one observation.
        rows: Observations in a batch.

    Returns:
        The least and the greatest value of each number of the batch, in a row. Those without a
        bound have the greatest floats, so that NaN and infinity are never within. None for a batch
        that is larger, or no array of floats.
    """
    if not isinstance(space, spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        return None
    if rows * space.low.size > FEW:
        return None
    most = sys.float_info.max
    low, high = (ends.ravel().astype(float).clip(-most, most).tolist() for ends in _widened(space))
    return low * rows, high * rows


def _leaves(box: spaces.Box) -> bool:
    """Whether values of its dtype can be outside: a byte cannot be, between 0 and 255."""
    dtype = box.dtype
    if dtype is None or dtype.kind not in "iuf":
        return False
    range_: Any = np.finfo(dtype.name) if dtype.kind == "f" else np.iinfo(dtype.name)
    return bool(np.any(box.low > range_.min) or np.any(box.high < range_.max))


def _widened(box: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Bounds with room for rounding."""
    if box.dtype is None or box.dtype.kind != "f":
        return box.low.copy(), box.high.copy()
    room = np.asarray(_ROUNDING, box.dtype)
    with np.errstate(over="ignore"):
        return box.low - room * (1 + abs(box.low)), box.high + room * (1 + abs(box.high))
