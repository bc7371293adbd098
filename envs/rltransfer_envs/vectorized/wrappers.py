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

from rltransfer.errors import BadArgument
from rltransfer_envs import wrappers
from rltransfer_envs.vectorized.arguments import seeds_of
from rltransfer_envs.vectorized.cartpole import VectorCartPole


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


class VectorPushContinuously(VectorActionWrapper):
    """Push carts with any force instead of always the same.

    Args:
        env: The batch; see :class:`rltransfer_envs.wrappers.PushContinuously`.

    Raises:
        BadArgument: The batch is not of CartPoles.
    """

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        carts = env.unwrapped
        if not isinstance(carts, VectorCartPole):
            raise BadArgument(f"VectorPushContinuously got {env}; it needs a batch of CartPoles")
        self._carts, self._strongest = carts, carts.force_mag
        self.single_action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def actions(self, actions: NDArray[np.floating]) -> NDArray[np.integer]:
        """Set the force that each push to the right has, and push to the right."""
        given = np.asarray(actions, dtype=np.float32)[:, 0].astype(np.float64)
        self._carts.force_mag = self._strongest * np.clip(given, -1.0, 1.0)
        return np.ones(len(given), dtype=np.int64)


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


class VectorScaleObservation(_ObservationWrapper):
    """Multiply a vector observation.

    Args:
        env: The batch.
        scale: See :class:`rltransfer_envs.wrappers.ScaleObservation`.

    Raises:
        BadArgument: Another space, another length, or a factor that is not finite and above 0.
    """

    def __init__(self, env: VectorEnv, scale: Sequence[float]) -> None:
        super().__init__(env, wrappers.ScaleObservation(_Spaces(env), scale))
        self._scale = np.asarray(scale, dtype=self.single_observation_space.dtype)

    def _changed(self, observations: NDArray[np.floating]) -> NDArray[np.floating]:
        return observations * self._scale


class VectorNoisyObservation(_ObservationWrapper):
    """Add white Gaussian noise to a vector observation.

    Args:
        env: The batch.
        std: See :class:`rltransfer_envs.wrappers.NoisyObservation`.

    Raises:
        BadArgument: Another space, another length, or a number that is not finite or below 0.
    """

    def __init__(self, env: VectorEnv, std: Sequence[float]) -> None:
        super().__init__(env, wrappers.NoisyObservation(_Spaces(env), std))
        self._std = np.asarray(std, dtype=np.float64)
        shape = (env.num_envs, len(self._std))
        self._noise = np.zeros(shape, self.single_observation_space.dtype)
        self._generators = [wrappers.noise_generator(None) for _ in range(env.num_envs)]

    def reset(self, **kwargs: Any) -> tuple[NDArray[np.floating], dict[str, Any]]:
        """Reset, seed the noise of the environments that are reset, and draw theirs anew."""
        observations, infos = self.env.reset(**kwargs)
        mask = (kwargs.get("options") or {}).get("reset_mask")
        chosen = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        seeds = seeds_of(kwargs.get("seed"), self.num_envs)
        for index in chosen.tolist():
            if seeds[index] is not None:
                self._generators[index] = wrappers.noise_generator(seeds[index])
        self._draw(chosen)
        return observations + self._noise, infos

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, and draw new noise: where an episode ended, for its last observation first."""
        observations, *rest, infos = self.env.step(actions)
        self._draw(np.arange(self.num_envs))
        if "final_obs" in infos:
            infos["final_obs"] = infos["final_obs"] + self._noise
            self._draw(np.flatnonzero(infos["_final_obs"]))
        return observations + self._noise, *rest, infos

    def _draw(self, chosen: NDArray[np.intp]) -> None:
        for index in chosen.tolist():
            drawn = self._generators[index].standard_normal(len(self._std)) * self._std
            self._noise[index] = drawn


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
