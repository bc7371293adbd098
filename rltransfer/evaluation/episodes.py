"""Playing one episode in each of several environments, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from rltransfer import vectorizing
from rltransfer.evaluation.batch import Batch
from rltransfer.heartbeat import beat
from rltransfer.vec.batches import BatchChecks

# A row, its reward, and whether its episode ended.
Outcome = tuple[int, float, bool]


class Episodes(Protocol):
    """One episode for each row."""

    def reset(self, seed: int) -> Sequence[Any]:
        """Begin all episodes, row ``i`` with ``seed + i``, and return their observations."""
        ...

    def step(self, live: Sequence[int], actions: Sequence[Any], batch: Batch) -> Iterable[Outcome]:
        """Step the live rows; what they observed, at last or for now, goes into the batch."""
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

    def step(self, live: Sequence[int], actions: Sequence[Any], batch: Batch) -> Iterator[Outcome]:
        """Step the live ones, each when its turn comes."""
        for row in live:
            observation, reward, terminated, truncated, _ = self._envs[row].step(actions[row])
            beat()
            batch.put(row, observation)
            yield row, float(reward), terminated or truncated

    def close(self) -> None:
        """Nothing of its own to close."""


class AtOnce:
    """A batch that one object steps, with the same numbers.

    Args:
        env: Resets what ended in the same step (``SAME_STEP``), which goes unnoticed here.
        task: Task id, for messages.
    """

    def __init__(self, env: VectorEnv, task: str) -> None:
        self._env = env
        self._checks = BatchChecks(env.single_observation_space, env.num_envs, task)

    def reset(self, seed: int) -> Sequence[Any]:
        """Reset all."""
        try:
            observations = self._env.reset(seed=seed)[0]
        except Exception as error:
            self._checks.pass_on("reset()", error)
        self._checks.observations(observations)
        return observations

    def step(self, live: Sequence[int], actions: Sequence[Any], batch: Batch) -> Iterable[Outcome]:
        """Step all, also those whose episode ended."""
        try:
            results = self._env.step(_all(actions, live))
        except Exception as error:
            self._checks.pass_on("step()", error)
        observations, rewards, terminated, truncated, infos = results
        self._checks.results(*results)
        batch.put_rows(live, observations)
        ended = np.logical_or(terminated, truncated)[live].tolist()
        if True in ended:
            final = infos.get("final_obs", observations)
            for row in compress(live, ended):
                batch.put(row, final[row])
        return zip(live, rewards[live].tolist(), ended, strict=True)

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
    return InTurn(envs) if make is None else AtOnce(make(len(envs)), spec.id)
