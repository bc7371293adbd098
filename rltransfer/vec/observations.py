"""Batches of observations, as SB3 wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs
from stable_baselines3.common.vec_env.util import dict_to_obs

from rltransfer.vec.batches import BatchChecks


class Observations:
    """Knows the arrays of a batch of observations.

    Args:
        space: Space of one observation.
        n_envs: Number of environments.
        name: Of the environments, for messages.

    Raises:
        BadEnvironment: The space holds spaces that hold spaces, which SB3 has no arrays for.
    """

    def __init__(self, space: spaces.Space, n_envs: int, name: str) -> None:
        self._space = space
        self._checks = BatchChecks(space, n_envs, name)
        self._parts = self._checks.parts

    def copy(self, observations: Any) -> VecEnvObs:
        """Copy a batch: some environments write each step into the same array.

        Returns:
            Arrays in the dtype of their space, shape (n_envs, *shape).

        Raises:
            BadEnvironment: They have another shape, or a dtype that does not go into theirs.
        """
        self._checks.observations(observations)
        copies: dict[Any, np.ndarray] = {
            key: np.array(observations if key is None else observations[key], dtype=dtype)
            for key, dtype, _ in self._parts
        }
        return copies[None] if None in copies else dict_to_obs(self._space, copies)

    def agree(self, first: Any, second: Any, rows: np.ndarray) -> bool:
        """Tell whether two batches are equal in some rows, a mask of shape (n_envs,)."""
        pairs = ((first, second) if k is None else (first[k], second[k]) for k, *_ in self._parts)
        return all(np.array_equal(a[rows], b[rows], equal_nan=True) for a, b in pairs)


def batch_of_one(observation: Any) -> Any:
    """Return a batch that holds the observation of one environment, an array or a dict of arrays.

    Args:
        observation: The observation.
    """
    if isinstance(observation, Mapping):
        return {key: batch_of_one(part) for key, part in observation.items()}
    return np.asarray(observation)[None]


def pick(observations: Any, index: int) -> Any:
    """Return the observation of one environment, which later steps do not change.

    Args:
        observations: A batch: an array, a dict or tuple of arrays, or an array of objects.
        index: The environment.
    """
    if isinstance(observations, Mapping):
        return {key: pick(part, index) for key, part in observations.items()}
    if isinstance(observations, tuple):
        return tuple(pick(part, index) for part in observations)
    one = observations[index]
    return one.copy() if isinstance(one, np.ndarray) else one
