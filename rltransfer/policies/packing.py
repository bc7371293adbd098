"""Observations and actions of unequal tasks in one array each.

A packed observation is a row of float32: the index of the task, the task's own observation as
numbers, the mask of its actions if it has one, and zeros. A packed action is the task's own action
as numbers, and zeros. What is finer than float32 is rounded, as SB3's policies do; observations
around 1e9 that differ by 1 are told apart only if a wrapper shifts and scales them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.policies.tasks import PolicyTask


class Packing:
    """Where the numbers of each task lie.

    Args:
        tasks: Tasks of the policy, by index.

    Attributes:
        tasks: The same.
        sizes: Numbers of each task's observation, without its mask.
        masks: Flags of each task's mask; 0 without one.
        observation_space: Box of shape (1 + P,), where P is the largest size with its mask.
        action_space: Box of shape (A,), where A is the largest number of action components. Its
            bounds hold those of all tasks.
    """

    def __init__(self, tasks: Sequence[PolicyTask]) -> None:
        self.tasks = tuple(tasks)
        self.sizes = [flat_size(task.observation_space) for task in tasks]
        self.masks = [mask_size(task.action_space) if task.masked else 0 for task in tasks]
        width = 1 + max(s + m for s, m in zip(self.sizes, self.masks, strict=True))
        self.observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = _hull([task.action_space for task in tasks])
        self._unpack = [_unpacking(task.action_space) for task in self.tasks]

    @property
    def width(self) -> int:
        """Numbers of a packed observation."""
        return self.observation_space.shape[0]

    def observations(self, index: int, batch: Any, masks: np.ndarray | None = None) -> np.ndarray:
        """Pack a batch of one task's observations.

        Args:
            index: Index of the task.
            batch: Array of shape (n, ...), or a dict of such.
            masks: Valid actions, shape (n, flags), if the task has masks.

        Returns:
            Shape (n, 1 + P), float32.

        Raises:
            SpaceMismatch: The observations are not of the task's space.
            BadArgument: The task has masks, and none are given.
        """
        task, size = self.tasks[index], self.sizes[index]
        parts = _parts(task, batch)
        packed = np.zeros((len(parts[0][1]), self.width), np.float32)
        packed[:, 0] = index
        place = 1
        for space, values in parts:
            stop = place + flat_size(space)
            packed[:, place:stop] = _numbers(space, values)
            place = stop
        if self.masks[index]:
            if masks is None:
                raise BadArgument(f"{task.id} has action masks: give those of the observations")
            packed[:, 1 + size : 1 + size + self.masks[index]] = masks
        return packed

    def actions(self, index: int, packed: np.ndarray) -> np.ndarray:
        """Take one task's own actions out of packed ones, clipped to its bounds.

        Args:
            index: Index of the task.
            packed: Shape (n, A).

        Returns:
            Shape (n, *action shape), in the dtype of the task's action space.
        """
        return self._unpack[index](packed)

    def is_flat(self, index: int) -> bool:
        """Whether a packed observation of a task is its vector and nothing else."""
        space = self.tasks[index].observation_space
        flat = isinstance(space, spaces.Box) and len(space.shape) == 1
        return flat and not self.masks[index]


def _unpacking(space: Any) -> Callable[[np.ndarray], np.ndarray]:
    """From packed actions, shape (n, A), to those of one space."""
    size = action_size(space)
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high

        def clipped(packed: np.ndarray) -> np.ndarray:
            shaped = packed[:, :size].reshape(-1, *low.shape)
            return np.minimum(np.maximum(shaped, low), high).astype(low.dtype)

        return clipped
    start = getattr(space, "start", 0)
    if isinstance(space, spaces.Discrete):
        return lambda packed: np.rint(packed[:, 0]).astype(np.int64) + start
    return lambda packed: (np.rint(packed[:, :size]) + start).astype(space.dtype)


def flat_size(space: gym.Space) -> int:
    """Numbers of a packed observation of a space."""
    if isinstance(space, spaces.Dict):
        return sum(flat_size(part) for part in space.spaces.values())
    return int(np.prod(space.shape or (), dtype=np.int64))


def action_size(space: Any) -> int:
    """Components of an action."""
    return int(np.prod(space.shape or (), dtype=np.int64))


def mask_size(space: Any) -> int:
    """Flags that a mask of valid actions has, as in sb3-contrib."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    return int(np.sum(space.nvec)) if isinstance(space, spaces.MultiDiscrete) else 2 * int(space.n)


def _parts(task: PolicyTask, batch: Any) -> list[tuple[gym.Space, np.ndarray]]:
    space = task.observation_space
    if isinstance(space, spaces.Dict):
        if not isinstance(batch, Mapping) or not batch.keys() >= space.spaces.keys():
            raise SpaceMismatch(
                f"{task.id} observes {space}: give a dict of arrays with the keys "
                f"{', '.join(map(repr, space.spaces))}"
            )
        given = [(part, np.asarray(batch[key])) for key, part in space.spaces.items()]
    else:
        given = [(space, np.asarray(batch))]
    for part, values in given:
        if not values.ndim or values.shape[1:] != part.shape:
            raise SpaceMismatch(
                f"{task.id} observes {part}, and was given an array of shape {values.shape}: give "
                f"a batch of shape (n{''.join(f', {size}' for size in part.shape or ())})"
            )
    return given


def _numbers(space: Any, values: np.ndarray) -> np.ndarray:
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        values = values - space.start
    return values.reshape(len(values), -1)


def _hull(all_spaces: Sequence[Any]) -> spaces.Box:
    size = max(map(action_size, all_spaces))
    low, high = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for space in all_spaces:
        least, most = _bounds(space)
        low[: len(least)] = np.minimum(low[: len(least)], least)
        high[: len(most)] = np.maximum(high[: len(most)], most)
    return spaces.Box(low, high, dtype=np.float32)


def _bounds(space: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(space, spaces.Box):
        return space.low.ravel(), space.high.ravel()
    if isinstance(space, spaces.Discrete):
        most = np.array([space.n - 1])
    else:
        most = space.nvec - 1 if isinstance(space, spaces.MultiDiscrete) else np.ones(space.n)
    return np.zeros(len(most)), most
