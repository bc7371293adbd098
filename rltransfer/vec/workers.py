"""Environments in processes of their own, whose errors reach this one as they are."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    CloudpickleWrapper,
    VecEnvObs,
    VecEnvStepReturn,
)

from rltransfer.errors import BadEnvironment, EnvironmentWarning, TransferError, WorkerGone
from rltransfer.faults import one_line
from rltransfer.heartbeat import beat

# Seconds that workers have to close their environments.
_GRACE = 5.0
# Seconds that a process has to start and to import; no environment can be blamed for those.
_START = 600.0
_TICK = 1.0


class WorkerVecEnv(SubprocVecEnv):
    """SB3's ``SubprocVecEnv``, where what goes wrong in a worker is an error here.

    An error of an environment is raised here with its message; one while stepping or resetting ends
    all workers, which would be out of step. Warnings come here too. Results are the same numbers,
    in the same dtypes, as :class:`rltransfer.vec.sync.SyncVecEnv` gives.

    Args:
        makers: One for each environment.
        start_method: How processes start.
        step_timeout: Seconds to wait for an answer of an environment.

    Raises:
        BadEnvironment: An environment cannot be made.
        WorkerGone: A worker ended, or did not answer in time.
    """

    def __init__(
        self, makers: Sequence[Callable[[], gym.Env]], *, start_method: str, step_timeout: float
    ) -> None:
        context: Any = multiprocessing.get_context(start_method)
        self.waiting = self.closed = False
        self.processes: list[Any] = []
        self.remotes: Any = []
        for index, make in enumerate(makers):
            here, there = context.Pipe()
            arguments = (there, here, CloudpickleWrapper(make))
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            there.close()
            self.processes.append(process)
            self.remotes.append(_Line(here, index, step_timeout, process))
        try:
            for line in self.remotes:
                line.await_start()
            self.remotes[0].send(("get_spaces", None))
            VecEnv.__init__(self, len(makers), *self.remotes[0].recv())
        except Exception:
            self.end()
            raise

    def reset(self) -> VecEnvObs:
        """Reset all environments."""
        with _Ending(self):
            return _cast(super().reset(), self.observation_space)

    def step_async(self, actions: np.ndarray) -> None:
        """Send the actions."""
        with _Ending(self):
            super().step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Collect the results."""
        with _Ending(self):
            observations, rewards, dones, infos = super().step_wait()
        observations = _cast(observations, self.observation_space)
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the environments; end what does not answer."""
        if not self.closed:
            self.end()

    def end(self) -> None:
        """End all workers, those that wait for a command after closing their environment."""
        self.closed = True
        for line in self.remotes:
            line.hang_up()
        deadline = time.monotonic() + _GRACE
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


class _Ending:
    """Ends the workers if something fails: some would still have an answer to give."""

    def __init__(self, venv: WorkerVecEnv) -> None:
        self._venv = venv

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception):
            self._venv.end()


class _Line:
    """This end of the pipe to one worker."""

    def __init__(self, pipe: Connection, index: int, timeout: float, process: Any) -> None:
        self._pipe, self._index, self._timeout = pipe, index, timeout
        self._process = process
        self._due = 0  # Answers.

    def await_start(self) -> None:
        """Wait for the worker's process, which on a busy machine takes longer than a step may.

        The wait ends by itself, so meanwhile this process counts as alive.
        """
        deadline = time.monotonic() + _START
        try:
            while not self._pipe.poll(_TICK):
                beat()
                if time.monotonic() > deadline:
                    raise self._silent(_START)
            self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def send(self, message: Any) -> None:
        while self._due:  # Another worker's error was raised before this one's answer was read.
            self._receive()
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._ended() from error
        self._due += 1

    def recv(self) -> Any:
        answer, heard = self._receive()
        for text, category, place in heard:
            warnings.warn_explicit(text, category, *place, registry=_HEARD)
        if isinstance(answer, _Failure):
            raise answer.error
        return answer

    def _receive(self) -> Any:
        try:
            if not self._pipe.poll(self._timeout):
                raise self._silent(self._timeout)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        beat()
        self._due -= 1
        return answer

    def hang_up(self) -> None:
        with suppress(OSError):
            self._pipe.send(("close", None))
        self._pipe.close()

    def _silent(self, seconds: float) -> WorkerGone:
        self._process.kill()
        return self._gone(f"it did not answer for {seconds:g} s")

    def _ended(self) -> WorkerGone:
        self._process.join(_GRACE)
        code = self._process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return self._gone(f"its worker process ended {how}")

    def _gone(self, problem: str) -> WorkerGone:
        details = {"index": self._index, "problem": problem}
        return WorkerGone(f"environment {self._index}: {problem}", details=details)


# What has been warned of, so that each is shown once.
_HEARD: dict[Any, Any] = {}


class _Failure:
    """An error as an answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _cast(observations: Any, space: spaces.Space) -> Any:
    """Give the observations the dtype of their space, as the buffers of ``SyncVecEnv`` do."""
    if isinstance(space, spaces.Dict):
        return {key: _cast(observations[key], part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(map(_cast, observations, space.spaces))
    return observations.astype(space.dtype, copy=False)


def _serve(pipe: Connection, other_end: Connection, maker: CloudpickleWrapper) -> None:
    """Answer commands until the pipe is closed."""
    other_end.close()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    heard: list[Any] = []
    warnings.showwarning = lambda message, category, *place, **_: heard.append(
        (str(message), _known(category), place[:2])
    )
    with suppress(ConnectionError):
        pipe.send("started")
    worker = _Worker(maker)
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while (command := pipe.recv())[0] != "close":
            answer = worker.answer(*command)
            told, heard[:] = heard[:], []
            try:
                pipe.send((answer, told))
            except (AttributeError, TypeError, ValueError) as error:  # It cannot be pickled.
                pipe.send((_Failure(_portable(error)), told))
    worker.close()


class _Worker:
    """One environment that is told what to do."""

    def __init__(self, maker: CloudpickleWrapper) -> None:
        self._env: Any = None
        self._reset_info: dict[str, Any] = {}
        self._failure: _Failure | None = None
        try:
            self._env = maker.var()
        except Exception as error:
            self._failure = _Failure(_portable(error))

    def answer(self, command: str, data: Any) -> Any:
        """Do it, and return the result or the error."""
        if self._failure is not None:
            return self._failure
        try:
            return getattr(self, f"_{command}")(data)
        except Exception as error:
            return _Failure(_portable(error))

    def close(self) -> None:
        if self._env is not None:
            with suppress(Exception):
                self._env.close()

    def _step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self._env.step(action)
        info["TimeLimit.truncated"] = truncated and not terminated
        done = bool(terminated or truncated)
        if done:
            info["terminal_observation"] = observation
            observation, self._reset_info = self._env.reset()
        return observation, float(reward), done, info, self._reset_info

    def _reset(self, data: Any) -> Any:
        seed, options = data
        chosen = {"options": options} if options else {}
        observation, self._reset_info = self._env.reset(seed=seed, **chosen)
        return observation, self._reset_info

    def _render(self, _: Any) -> Any:
        return self._env.render()

    def _get_spaces(self, _: Any) -> Any:
        return self._env.observation_space, self._env.action_space

    def _env_method(self, data: Any) -> Any:
        name, args, kwargs = data
        return self._env.get_wrapper_attr(name)(*args, **kwargs)

    def _get_attr(self, name: str) -> Any:
        return self._env.get_wrapper_attr(name)

    def _has_attr(self, name: str) -> bool:
        return self._env.has_wrapper_attr(name)

    def _set_attr(self, data: Any) -> None:
        setattr(self._env, *data)

    def _is_wrapped(self, wrapper: Any) -> bool:
        return is_wrapped(self._env, wrapper)


def _portable(error: Exception) -> Exception:
    """An error that the other process can read, whatever it holds."""
    if isinstance(error, TransferError):
        return error
    if type(error).__module__ == "builtins":
        with suppress(TypeError):
            return type(error)(*map(str, error.args))
    return BadEnvironment(f"an environment raised {one_line(error)}")


def _known(category: type[Warning]) -> type[Warning]:
    return category if category.__module__ == "builtins" else EnvironmentWarning


def _end_with_parent() -> None:
    """End this process with the one that started it, even if that is killed, or this one hangs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
