"""Named adapters between a policy's spaces and a task's, as Gymnasium wrappers.

An adapter stands around the target, so that the policy sees the spaces it was trained with. Its
arguments are JSON, so that an adapted environment survives ``gymnasium.spec(id).to_json()`` and
reaches worker processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs

from rltransfer.adapting import adapted
from rltransfer.errors import BadArgument, SpaceMismatch, UnknownName, suggest
from rltransfer.missions import AppendMission
from rltransfer.projections import ProjectObservation

__all__ = [
    "ADAPTERS",
    "AppendMission",
    "AppendObservation",
    "MapActions",
    "PadObservation",
    "PermuteActions",
    "ProjectObservation",
    "SelectObservation",
    "adapted",
    "adapter",
]


class SelectObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Shows some columns of a flat observation, in the order given.

    For a target that observes more than the source did, or the same in another order.

    Args:
        env: Environment with a one-dimensional Box of ``n`` observations.
        indices: Columns of the environment to show, each from 0 to ``n - 1``; at least one. Column
            ``j`` of what the policy sees is column ``indices[j]`` of the environment.

    Raises:
        SpaceMismatch: The observations are not a one-dimensional Box.
        BadArgument: An index is outside its range.
    """

    def __init__(self, env: gym.Env, indices: Sequence[int]) -> None:
        box = _flat_box(env.observation_space, "observations", "SelectObservation")
        indices = _whole_numbers("indices", indices, box.shape[0], "observations")
        RecordConstructorArgs.__init__(self, indices=indices)
        gym.ObservationWrapper.__init__(self, env)
        self._indices = np.array(indices)
        self.observation_space = _box(box.low[self._indices], box.high[self._indices], box)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Select the columns of an observation of shape (n,)."""
        return observation[self._indices]


class PadObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Puts the columns of a flat observation into a longer vector, and fills the others.

    For a target that observes less than the source did.

    Args:
        env: Environment with a one-dimensional Box of ``n`` observations.
        size: Length of what the policy sees, at least ``n``.
        positions: Where each of the ``n`` columns goes, each from 0 to ``size - 1``, no two alike.
        fill: Value of the columns that the target does not observe; the source's mean of that
            column is a better guess than 0 where observations are not centered.

    Raises:
        SpaceMismatch: The observations are not a one-dimensional Box.
        BadArgument: ``size``, ``positions`` or ``fill`` is outside its range.
    """

    def __init__(
        self, env: gym.Env, size: int, positions: Sequence[int], fill: float = 0.0
    ) -> None:
        box = _flat_box(env.observation_space, "observations", "PadObservation")
        count = box.shape[0]
        if type(size) is not int or size < count:
            raise BadArgument(
                f"size is {size!r}: give a whole number, at least {count} observations"
            )
        positions = _whole_numbers("positions", positions, size, "padded observations")
        if len(positions) != count or len(set(positions)) != count:
            raise BadArgument(
                f"positions is {positions}: give {count} different ones, one for each observation"
            )
        RecordConstructorArgs.__init__(self, size=size, positions=positions, fill=float(fill))
        gym.ObservationWrapper.__init__(self, env)
        self._positions = np.array(positions)
        self._filled = np.full(size, _as_dtype(fill, box.dtype), box.dtype)
        self.observation_space = _box(self._pad(box.low), self._pad(box.high), box)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Pad an observation of shape (n,) to (size,)."""
        return self._pad(observation)

    def _pad(self, values: np.ndarray) -> np.ndarray:
        padded = self._filled.copy()
        padded[self._positions] = values
        return padded


class AppendObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Puts the same numbers at the end of every observation.

    For telling a policy which of several tasks it plays, such as by a one-hot vector.

    Args:
        env: Environment with a one-dimensional Box of observations.
        values: The numbers, at least one, finite.

    Raises:
        SpaceMismatch: The observations are not a one-dimensional Box.
        BadArgument: There are no numbers, or one is not finite.
    """

    def __init__(self, env: gym.Env, values: Sequence[float]) -> None:
        box = _flat_box(env.observation_space, "observations", "AppendObservation")
        numbers = [float(value) for value in values]
        if not numbers or not np.isfinite(numbers).all():
            raise BadArgument(f"values is {values!r}: give one finite number or more")
        RecordConstructorArgs.__init__(self, values=numbers)
        gym.ObservationWrapper.__init__(self, env)
        self._values = np.array([_as_dtype(value, box.dtype) for value in numbers], box.dtype)
        self.observation_space = _box(self.observation(box.low), self.observation(box.high), box)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Append to an observation of shape (n,)."""
        return np.concatenate([observation, self._values])


class MapActions(gym.ActionWrapper, RecordConstructorArgs):
    """Translates the policy's discrete actions into the target's.

    Several actions of the policy may mean the same, and some of the target may be left out. Action
    masks, where the environment has ``action_masks()``, are translated too.

    Args:
        env: Environment with a Discrete action space.
        mapping: Action ``i`` of the policy is action ``mapping[i]`` of the environment; not empty.

    Raises:
        SpaceMismatch: The actions are not Discrete.
        BadArgument: The environment has no such action.
    """

    def __init__(self, env: gym.Env, mapping: Sequence[int]) -> None:
        space = env.action_space
        if not isinstance(space, spaces.Discrete):
            raise SpaceMismatch(
                f"MapActions needs Discrete actions, the environment has {space}: PermuteActions"
                " is for a Box"
            )
        start, count = int(space.start), int(space.n)
        mapping = _whole_numbers("mapping", mapping, count, "actions", start=start)
        RecordConstructorArgs.__init__(self, mapping=mapping)
        gym.ActionWrapper.__init__(self, env)
        self._mapping = mapping
        self.action_space = spaces.Discrete(len(mapping))
        self._columns = np.array(mapping) - start
        if env.has_wrapper_attr("action_masks"):
            # Set here, not defined in the class: having it says that the environment masks actions.
            self.action_masks = self._translate_masks

    def action(self, action: Any) -> int:
        """Translate one action."""
        return self._mapping[int(action)]

    def _translate_masks(self) -> np.ndarray:
        return np.asarray(self.env.get_wrapper_attr("action_masks")())[self._columns]


class PermuteActions(gym.ActionWrapper, RecordConstructorArgs):
    """Reorders and flips continuous actions.

    Args:
        env: Environment with a one-dimensional Box of ``n`` actions.
        order: Action ``i`` of the environment is action ``order[i]`` of the policy; a permutation
            of 0 to ``n - 1``.
        signs: Factor of each action of the environment, 1 or -1; all 1 if None.

    Raises:
        SpaceMismatch: The actions are not a one-dimensional Box.
        BadArgument: ``order`` is not a permutation, or a sign is neither 1 nor -1.
    """

    def __init__(
        self, env: gym.Env, order: Sequence[int], signs: Sequence[int] | None = None
    ) -> None:
        box = _flat_box(env.action_space, "actions", "PermuteActions")
        count = box.shape[0]
        order = _whole_numbers("order", order, count, "actions")
        if sorted(order) != list(range(count)):
            raise BadArgument(f"order is {order}: give each of 0 to {count - 1} once")
        signs = [1] * count if signs is None else [int(sign) for sign in signs]
        if len(signs) != count or not set(signs) <= {1, -1}:
            raise BadArgument(f"signs is {signs}: give {count} numbers, each 1 or -1")
        RecordConstructorArgs.__init__(self, order=order, signs=signs)
        gym.ActionWrapper.__init__(self, env)
        self._order = np.array(order)
        self._signs = np.array(signs, box.dtype)
        ends = np.stack([box.low * self._signs, box.high * self._signs])[:, np.argsort(order)]
        self.action_space = _box(ends.min(axis=0), ends.max(axis=0), box)

    def action(self, action: np.ndarray) -> np.ndarray:
        """Translate one action of shape (n,)."""
        return np.asarray(action)[self._order] * self._signs


ADAPTERS: dict[str, type[gym.Wrapper]] = {
    kind.__name__: kind
    for kind in (
        *(SelectObservation, PadObservation, AppendObservation, AppendMission),
        *(ProjectObservation, MapActions, PermuteActions),
    )
}
"""Adapters by the name that users type."""


def adapter(name: str, **arguments: Any) -> WrapperSpec:
    """Describe an adapter, as data.

    Args:
        name: One of :data:`ADAPTERS`.
        arguments: What its constructor takes besides the environment.

    Returns:
        What ``SelectObservation.wrapper_spec(indices=[...])`` returns too.

    Raises:
        UnknownName: No adapter has that name.
    """
    if name not in ADAPTERS:
        raise UnknownName(suggest(name, ADAPTERS, kind="adapter"))
    return ADAPTERS[name].wrapper_spec(**arguments)


def _flat_box(space: spaces.Space, what: str, who: str) -> spaces.Box:
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise SpaceMismatch(
            f"{who} needs a one-dimensional Box of {what}, the environment has {space}: flatten it"
            " first, or use another adapter"
        )
    return space


def _box(low: np.ndarray, high: np.ndarray, like: spaces.Box) -> spaces.Box:
    return spaces.Box(low, high, dtype=like.dtype.type)


def _whole_numbers(
    name: str, values: Sequence[int], count: int, what: str, *, start: int = 0
) -> list[int]:
    """Return plain integers, for JSON, that are valid places in something of ``count`` parts."""
    try:
        numbers = [index(value) for value in values]
    except TypeError as error:
        raise BadArgument(f"{name} is {values!r}: give a list of whole numbers") from error
    last = start + count - 1
    wrong = [number for number in numbers if not start <= number <= last]
    if wrong or not numbers:
        found = f"{wrong[0]} is out of range" if wrong else "it is empty"
        raise BadArgument(
            f"{name} is {numbers}: {found}, give numbers from {start} to {last} (there are {count}"
            f" {what})"
        )
    return numbers


def _as_dtype(fill: float, dtype: np.dtype) -> Any:
    value = np.asarray(fill, np.float64)
    exact = dtype.kind == "f" or value == value.astype(dtype)
    if value.shape != () or not np.isfinite(value) or not exact:
        raise BadArgument(f"fill is {fill!r}: give one finite number that fits {dtype}")
    return value
