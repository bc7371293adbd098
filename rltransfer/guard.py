"""The check for NaN and infinity around vectorized environments, cheap enough for every step.

Without it a NaN surfaces an update later, as an error about the policy, when the weights are NaN
too.
"""

from __future__ import annotations

from math import isfinite
from multiprocessing import connection
from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from rltransfer.errors import BadEnvironment
from rltransfer.heartbeat import beat
from rltransfer.strict import broken


def all_finite(values: np.ndarray) -> bool:
    """Tell whether no value is NaN or infinite.

    A sum of squares is one BLAS call, and NaN and infinity survive it. It can overflow too, so a
    result that is not finite is looked into value by value.

    Args:
        values: Numbers, any shape.
    """
    # vdot, because dot warns of the overflow.
    return isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def float_keys(space: spaces.Space) -> tuple[Any, ...]:
    """Name the parts of an observation that can be NaN.

    Args:
        space: An observation space.

    Returns:
        Keys of the float parts of a Dict, indices of those of a Tuple, ``(None,)`` for a float
        array.
    """
    if isinstance(space, spaces.Dict):
        parts: list[tuple[Any, spaces.Space]] = list(space.spaces.items())
    elif isinstance(space, spaces.Tuple):
        parts = list(enumerate(space.spaces))
    else:
        parts = [(None, space)]
    return tuple(key for key, part in parts if part.dtype is not None and part.dtype.kind == "f")


def first_not_finite(observation: Any, keys: tuple[Any, ...]) -> tuple[tuple[int, ...], str] | None:
    """Find the first NaN or infinity.

    Args:
        observation: One observation, or a batch of them.
        keys: What :func:`float_keys` says of its space.

    Returns:
        Where it is in its array, and its part and value, such as ``((3, 2), "is nan")``; None if
        all are finite.
    """
    for key in keys:
        values = np.asarray(observation if key is None else observation[key])
        if not all_finite(values):
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            part = "" if key is None else f"part {key!r} "
            return place, f"{part}is {values[place]}"
    return None


class GuardVecEnv(VecEnvWrapper):
    """Refuses observations and rewards that are NaN or infinite, and says where they came from.

    It belongs directly around the environments, below ``VecNormalize``, which would clip an
    infinity. Terminal observations are checked too.

    Args:
        venv: Vectorized environments.
        task: Task id, for messages.

    Raises:
        BadEnvironment: A value is not finite, a reward is not a number, or a worker process ended.
    """

    def __init__(self, venv: VecEnv, task: str) -> None:
        super().__init__(venv)
        self._task = task
        self._keys = float_keys(venv.observation_space)
        self._clock = 0
        self._reset_at = [0] * venv.num_envs
        self._actions: np.ndarray | None = None

    def reset(self) -> VecEnvObs:
        """Reset all environments, and check their observations."""
        self._reset_at = [self._clock] * self.num_envs
        try:
            observations = self.venv.reset()
        except (EOFError, ConnectionError) as error:
            raise self._worker_ended() from error
        self._check(observations)
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Start a step, and remember the actions for messages."""
        self._actions = actions
        self._clock += 1
        try:
            self.venv.step_async(actions)
        except (EOFError, ConnectionError) as error:
            raise self._worker_ended() from error

    def step_wait(self) -> VecEnvStepReturn:
        """Finish the step; check rewards, terminal observations and observations."""
        try:
            observations, rewards, dones, infos = self.venv.step_wait()
        except (EOFError, ConnectionError) as error:
            raise self._worker_ended() from error
        beat()
        if rewards.dtype.kind not in "fiub" or not all_finite(rewards):
            self._refuse_reward(rewards)
        done = dones.tolist()
        if True in done:
            self._end_episodes(done, infos)
        self._check(observations)
        return observations, rewards, dones, infos

    def _check(self, observations: Any) -> None:
        for key in self._keys:
            if not all_finite(observations if key is None else observations[key]):
                self._refuse_observation(observations)

    def _refuse_observation(self, observations: Any) -> None:
        found = first_not_finite(observations, self._keys)
        if found is not None:
            (index, *place), problem = found
            self._refuse(index, place, problem)

    def _end_episodes(self, done: list[bool], infos: Any) -> None:
        for index, ended in enumerate(done):
            if ended:
                terminal = infos[index].get("terminal_observation")
                found = None if terminal is None else first_not_finite(terminal, self._keys)
                if found is not None:
                    self._refuse(index, list(found[0]), f"{found[1]} (the terminal one)")
                self._reset_at[index] = self._clock

    def _refuse(self, index: int, place: list[int], problem: str) -> NoReturn:
        raise self._broken(index, f"observation{place or ''} {problem}")

    def _refuse_reward(self, rewards: np.ndarray) -> NoReturn:
        numbers = rewards.dtype.kind in "fiub"
        index = int(np.argmin(np.isfinite(rewards))) if numbers else 0
        raise self._broken(index, f"the reward is {rewards[index]}, not a finite number")

    def _broken(self, index: int, problem: str) -> BadEnvironment:
        step = self._clock - self._reset_at[index]
        action = None if self._actions is None else self._actions[index]
        return broken(self._task, index, step, action, problem)

    def _worker_ended(self) -> BadEnvironment:
        base = self.unwrapped
        if not isinstance(base, SubprocVecEnv):
            return self._broken(0, "it is closed")
        index = _end_workers(base)
        return self._broken(index, "its worker process ended; its own error is printed above")


def _end_workers(venv: SubprocVecEnv) -> int:
    """End all workers after one has died, and return which one it was."""
    sentinels = [process.sentinel for process in venv.processes]
    ended = connection.wait(sentinels, timeout=5)
    for process, remote in zip(venv.processes, venv.remotes, strict=True):
        process.terminate()
        process.join()
        remote.close()
    venv.closed = True
    return next((i for i, sentinel in enumerate(sentinels) if sentinel in ended), 0)
