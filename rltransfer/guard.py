"""The check for NaN and infinity around vectorized environments, cheap enough for every step.

Without it a NaN surfaces an update later, as an error about the policy, when the weights are NaN
too. Values outside the bounds of their space are counted.
"""

from __future__ import annotations

from math import isfinite
from operator import le
from typing import Any, NoReturn

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from rltransfer.bounds import BoundsWatch, few_limits
from rltransfer.errors import BadEnvironment, WorkerGone
from rltransfer.faults import broken
from rltransfer.finite import FEW, all_finite, first_not_finite, float_keys
from rltransfer.heartbeat import beat

# Of workers; the first two where they are Stable-Baselines3's own.
_GONE = (EOFError, ConnectionError, WorkerGone)


class GuardVecEnv(VecEnvWrapper):
    """Refuses observations and rewards that are NaN or infinite, and says where they came from.

    It belongs directly around the environments, below ``VecNormalize``, which would clip an
    infinity. Terminal observations are checked too. An observation outside the bounds of its space
    is no error: a warning names the first, and :attr:`out_of_bounds` counts them, without terminal
    ones, which nobody acts upon.

    Args:
        venv: Vectorized environments, which do not change what they returned.
        task: Task id, for messages.

    Raises:
        BadEnvironment: A value is not finite, a reward is not a number, or a worker process ended
            or did not answer.
    """

    def __init__(self, venv: VecEnv, task: str) -> None:
        super().__init__(venv)
        self._task = task
        self._keys = float_keys(venv.observation_space)
        self._few = venv.num_envs <= FEW
        self._limits = few_limits(venv.observation_space, venv.num_envs)
        self._bounds = BoundsWatch(venv.observation_space, venv.num_envs, task)
        self._clock = 0
        self._reset_at = [0] * venv.num_envs
        self._seeds_given: list[int | None] = [None] * venv.num_envs
        self._episodes = [0] * venv.num_envs
        self._actions: np.ndarray | None = None

    @property
    def out_of_bounds(self) -> int:
        """Observations so far with a value outside the finite bounds of their space."""
        self._look()
        return self._bounds.count

    def reset(self) -> VecEnvObs:
        """Reset all environments, and check their observations."""
        self._look()
        self._reset_at = [self._clock] * self.num_envs
        for index, seed in enumerate(self.unwrapped._seeds):
            self._episodes[index] = 1 if seed is not None else self._episodes[index] + 1
            self._seeds_given[index] = self._seeds_given[index] if seed is None else seed
        try:
            observations = self.venv.reset()
        except _GONE as error:
            raise self._gone(error) from error
        self._check(observations)
        return observations

    def step(self, actions: np.ndarray) -> VecEnvStepReturn:
        """Step; the same as :meth:`step_async` and :meth:`step_wait`, with fewer calls."""
        self._actions = actions
        self._clock += 1
        try:
            results = self.venv.step(actions)
        except _GONE as error:
            raise self._gone(error) from error
        return self._checked(*results)

    def step_async(self, actions: np.ndarray) -> None:
        """Start a step, and remember the actions for messages."""
        self._actions = actions
        self._clock += 1
        try:
            self.venv.step_async(actions)
        except _GONE as error:
            raise self._gone(error) from error

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step; check rewards, terminal observations and observations."""
        try:
            results = self.venv.step_wait()
        except _GONE as error:
            raise self._gone(error) from error
        return self._checked(*results)

    def _checked(
        self, observations: VecEnvObs, rewards: np.ndarray, dones: np.ndarray, infos: Any
    ) -> VecEnvStepReturn:
        beat()
        # A finite sum says that all are; the rest is for sums that overflow, and larger batches.
        if rewards.dtype.kind not in "fiub" or not (
            (self._few and isfinite(sum(rewards.tolist()))) or all_finite(rewards)
        ):
            self._refuse_reward(rewards)
        done = dones.tolist()
        if True in done:
            self._end_episodes(done, infos)
        self._check(observations)
        return observations, rewards, dones, infos

    def _check(self, observations: Any) -> None:
        if self._limits is not None:
            (low, high), values = self._limits, observations.ravel().tolist()
            if all(map(le, low, values)) and all(map(le, values, high)):
                return
        for key in self._keys:
            if not all_finite(observations if key is None else observations[key]):
                self._refuse_observation(observations)
        if self._bounds.needed and self._bounds.add(observations, self._clock):
            self._look()

    def _look(self) -> None:
        self._bounds.look(lambda index, clock: clock - self._reset_at[index])

    def _refuse_observation(self, observations: Any) -> None:
        found = first_not_finite(observations, self._keys)
        if found is not None:
            (index, *place), problem = found
            self._refuse(index, place, problem)

    def _end_episodes(self, done: list[bool], infos: Any) -> None:
        # Before the clocks of those that ended start anew.
        self._look()
        for index, ended in enumerate(done):
            if ended:
                terminal = infos[index].get("terminal_observation")
                if terminal is not None:
                    self._check_terminal(index, terminal)
                self._reset_at[index] = self._clock
                self._episodes[index] += 1

    def _check_terminal(self, index: int, terminal: Any) -> None:
        found = first_not_finite(terminal, self._keys)
        if found is not None:
            self._refuse(index, list(found[0]), f"{found[1]} (the terminal one)")

    def _refuse(self, index: int, place: list[int], problem: str) -> NoReturn:
        raise self._broken(index, f"observation{place or ''} {problem}")

    def _refuse_reward(self, rewards: np.ndarray) -> NoReturn:
        numbers = rewards.dtype.kind in "fiub"
        index = int(np.argmin(np.isfinite(rewards))) if numbers else 0
        raise self._broken(index, f"the reward is {rewards[index]}, not a finite number")

    def _broken(self, index: int, problem: str) -> BadEnvironment:
        action = None if self._actions is None else self._actions[index]
        seed, episode = self._seeds_given[index], self._episodes[index]
        where = self._task, index, self._step(index), action, problem
        return broken(*where, seed=seed, episode=episode)

    def _step(self, index: int) -> int:
        return self._clock - self._reset_at[index]

    def _gone(self, error: Exception) -> BadEnvironment:
        if isinstance(error, WorkerGone):
            return self._broken(error.details["index"], error.details["problem"])
        return self._broken(0, "its worker process ended, or was closed before")


def out_of_bounds(venv: VecEnv | None) -> int:
    """Observations so far with a value outside the finite bounds of their space.

    Args:
        venv: Vectorized environments; 0 of those without a :class:`GuardVecEnv`.
    """
    while isinstance(venv, VecEnvWrapper):
        if isinstance(venv, GuardVecEnv):
            return venv.out_of_bounds
        venv = venv.venv
    return 0
