"""Playing one episode in each of several environments, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from rltransfer import vectorizing

# A row, what it observed, its reward, and whether its episode ended.
Outcome = tuple[int, Any, float, bool]


class Episodes(Protocol):
    """One episode for each row."""

    def reset(self, seed: int) -> Sequence[Any]:
        """Begin all episodes, row ``i`` with ``seed + i``, and return their observations."""
        ...

    def step(self, live: Sequence[int], actions: Sequence[Any]) -> Iterator[Outcome]:
        """Step the live rows; of an episode that ended, the last observation is returned."""
        ...

    def close(self) -> None:
        """Close what is its own."""
        ...


class InTurn:
    """Environments that are stepped one after the other.

    Args:
        envs: One for each row.
    """

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        self._envs = envs

    def reset(self, seed: int) -> Sequence[Any]:
        """Reset all."""
        return [env.reset(seed=seed + row)[0] for row, env in enumerate(self._envs)]

    def step(self, live: Sequence[int], actions: Sequence[Any]) -> Iterator[Outcome]:
        """Step the live ones."""
        for row in live:
            observation, reward, terminated, truncated, _ = self._envs[row].step(actions[row])
            yield row, observation, float(reward), terminated or truncated

    def close(self) -> None:
        """Nothing of its own to close."""


class AtOnce:
    """A batch that one object steps, with the same numbers.

    Args:
        env: Resets what ended in the same step (``SAME_STEP``), which goes unnoticed here.
    """

    def __init__(self, env: VectorEnv) -> None:
        self._env = env

    def reset(self, seed: int) -> Sequence[Any]:
        """Reset all."""
        return self._env.reset(seed=seed)[0]

    def step(self, live: Sequence[int], actions: Sequence[Any]) -> Iterator[Outcome]:
        """Step all, also those whose episode ended."""
        observations, rewards, terminated, truncated, infos = self._env.step(_all(actions, live))
        done = np.logical_or(terminated, truncated).tolist()
        final = infos.get("final_obs", observations)
        for row, reward in zip(live, rewards[live].tolist(), strict=True):
            yield row, (final if done[row] else observations)[row], reward, done[row]

    def close(self) -> None:
        """Close it."""
        self._env.close()


def _all(actions: Sequence[Any], live: Sequence[int]) -> Any:
    """Actions of all rows; chance has none for those whose episode ended."""
    if isinstance(actions, np.ndarray):
        return actions
    return np.stack([actions[live[0]] if one is None else one for one in actions])


def episodes_of(spec: EnvSpec, envs: Sequence[gym.Env]) -> Episodes:
    """Step a task's environments at once where a class for that is known.

    Args:
        spec: The task.
        envs: Its environments, one for each row.
    """
    make = vectorizing.vectorized(spec) if vectorizing.pays(spec, len(envs)) else None
    return InTurn(envs) if make is None else AtOnce(make(len(envs)))
