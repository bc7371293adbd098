"""Wrappers that shift what an agent sees or does, and not the physics.

Each records its arguments, so that it survives the JSON round trip of a spec and reaches worker
processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rltransfer.errors import BadArgument


class PermuteActions(gym.ActionWrapper, RecordConstructorArgs):
    """Rename discrete actions.

    Args:
        env: Environment with a Discrete(n) action space that starts at 0.
        permutation: Action ``a`` of the agent becomes ``permutation[a]``; length n.

    Raises:
        BadArgument: Not a permutation of the environment's actions.
    """

    def __init__(self, env: gym.Env, permutation: Sequence[int]) -> None:
        RecordConstructorArgs.__init__(self, permutation=permutation)
        gym.ActionWrapper.__init__(self, env)
        space = env.action_space
        n = int(space.n) if isinstance(space, gym.spaces.Discrete) and space.start == 0 else 0
        _require_permutation(permutation, n, of=f"actions {space}")
        self._permutation = [int(a) for a in permutation]

    def action(self, action: int) -> int:
        """Return the environment's name of the action."""
        return self._permutation[int(action)]


class FlipActions(gym.ActionWrapper, RecordConstructorArgs):
    """Negate continuous actions.

    Args:
        env: Environment with a Box action space that is symmetric around 0.

    Raises:
        BadArgument: The action space is another one.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ActionWrapper.__init__(self, env)
        space = env.action_space
        if not isinstance(space, gym.spaces.Box) or not np.array_equal(space.low, -space.high):
            raise BadArgument(f"FlipActions got {space}; it needs a Box with low == -high")

    def action(self, action: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the negated action, same shape."""
        return -np.asarray(action)


class OffsetObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Add a constant to a vector observation, like a badly calibrated sensor.

    Args:
        env: Environment with a Box(n) observation space of floats.
        offset: What is added, in units of the observation; length n.

    Raises:
        BadArgument: Another space, another length, or a number that is not finite.
    """

    def __init__(self, env: gym.Env, offset: Sequence[float]) -> None:
        RecordConstructorArgs.__init__(self, offset=offset)
        gym.ObservationWrapper.__init__(self, env)
        space = _vector_space(env)
        self._offset = np.asarray(offset, dtype=space.dtype)
        if self._offset.shape != space.shape or not np.isfinite(self._offset).all():
            raise BadArgument(f"offset is {offset!r}; give {space.shape[0]} finite numbers")
        self.observation_space = gym.spaces.Box(
            space.low + self._offset, space.high + self._offset, dtype=space.dtype.type
        )

    def observation(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the shifted observation, shape (n,)."""
        return observation + self._offset


class PermuteObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Reorder a vector observation, like sensors that were plugged in wrongly.

    Args:
        env: Environment with a Box(n) observation space of floats.
        permutation: Entry ``i`` becomes the environment's entry ``permutation[i]``; length n.

    Raises:
        BadArgument: Another space, or not a permutation.
    """

    def __init__(self, env: gym.Env, permutation: Sequence[int]) -> None:
        RecordConstructorArgs.__init__(self, permutation=permutation)
        gym.ObservationWrapper.__init__(self, env)
        space = _vector_space(env)
        _require_permutation(permutation, space.shape[0], of=f"the entries of {space}")
        self._order = np.asarray(permutation)
        self.observation_space = gym.spaces.Box(
            space.low[self._order], space.high[self._order], dtype=space.dtype.type
        )

    def observation(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the reordered observation, shape (n,)."""
        return observation[self._order]


def wrapper(kind: type[gym.Wrapper], **kwargs: object) -> WrapperSpec:
    """Describe a wrapper of this module to Gymnasium.

    Args:
        kind: The wrapper.
        kwargs: Its arguments, JSON-able.
    """
    return WrapperSpec(kind.__name__, f"{kind.__module__}:{kind.__name__}", dict(kwargs))


def _vector_space(env: gym.Env) -> gym.spaces.Box:
    space = env.observation_space
    if (
        isinstance(space, gym.spaces.Box)
        and len(space.shape) == 1
        and np.issubdtype(space.dtype, np.floating)
    ):
        return space
    raise BadArgument(f"the observation space is {space}; it needs to be a Box(n) of floats")


def _require_permutation(permutation: Sequence[int], n: int, *, of: str) -> None:
    if sorted(permutation) != list(range(n)) or n == 0:
        raise BadArgument(f"{list(permutation)} is not a permutation of {of}, numbered from 0")
