"""The wrappers of :mod:`rltransfer_envs.wrappers`, around a whole batch.

Each keeps a scalar wrapper around nothing but spaces: it refuses what that refuses, and has the
spaces that it has.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorActionWrapper, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rltransfer_envs import wrappers


class _Spaces(gym.Env):
    """An environment that has spaces, and nothing else."""

    def __init__(self, env: VectorEnv) -> None:
        self.observation_space = env.single_observation_space
        self.action_space = env.single_action_space


class VectorPermuteActions(VectorActionWrapper):
    """Rename discrete actions.

    Args:
        env: The batch.
        permutation: See :class:`rltransfer_envs.wrappers.PermuteActions`.

    Raises:
        BadArgument: Not a permutation of the environment's actions.
    """

    def __init__(self, env: VectorEnv, permutation: Sequence[int]) -> None:
        super().__init__(env)
        wrappers.PermuteActions(_Spaces(env), permutation)
        self._table = np.array(permutation)

    def actions(self, actions: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the environments' names of the actions, shape (num_envs,)."""
        return self._table[actions]


class VectorFlipActions(VectorActionWrapper):
    """Negate continuous actions.

    Args:
        env: The batch.

    Raises:
        BadArgument: The action space is not symmetric around 0.
    """

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        wrappers.FlipActions(_Spaces(env))

    def actions(self, actions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the negated actions, same shape."""
        return -np.asarray(actions)


class _ObservationWrapper(VectorWrapper):
    """Changes every observation, the last of an episode included."""

    def __init__(self, env: VectorEnv, scalar: gym.Wrapper) -> None:
        super().__init__(env)
        self.single_observation_space = scalar.observation_space
        self.observation_space = batch_space(scalar.observation_space, env.num_envs)

    @abstractmethod
    def _changed(self, observations: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return new observations, (num_envs, n) -> (num_envs, n)."""

    def reset(self, **kwargs: Any) -> tuple[NDArray[np.floating], dict[str, Any]]:
        """Reset, and change the observations."""
        observations, infos = self.env.reset(**kwargs)
        return self._changed(observations), infos

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, and change the observations."""
        observations, *rest, infos = self.env.step(actions)
        if "final_obs" in infos:
            infos["final_obs"] = self._changed(infos["final_obs"])
        return self._changed(observations), *rest, infos


class VectorOffsetObservation(_ObservationWrapper):
    """Add a constant to a vector observation.

    Args:
        env: The batch.
        offset: See :class:`rltransfer_envs.wrappers.OffsetObservation`.

    Raises:
        BadArgument: Another space, another length, or a number that is not finite.
    """

    def __init__(self, env: VectorEnv, offset: Sequence[float]) -> None:
        super().__init__(env, wrappers.OffsetObservation(_Spaces(env), offset))
        self._offset = np.asarray(offset, dtype=self.single_observation_space.dtype)

    def _changed(self, observations: NDArray[np.floating]) -> NDArray[np.floating]:
        return observations + self._offset


class VectorPermuteObservation(_ObservationWrapper):
    """Reorder a vector observation.

    Args:
        env: The batch.
        permutation: See :class:`rltransfer_envs.wrappers.PermuteObservation`.

    Raises:
        BadArgument: Another space, or not a permutation.
    """

    def __init__(self, env: VectorEnv, permutation: Sequence[int]) -> None:
        super().__init__(env, wrappers.PermuteObservation(_Spaces(env), permutation))
        self._order = np.array(permutation)

    def _changed(self, observations: NDArray[np.floating]) -> NDArray[np.floating]:
        return observations.take(self._order, axis=1)
