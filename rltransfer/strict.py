"""One environment that refuses to break its contract in ways that nothing else would notice.

Stable-Baselines3 copies what an environment returns into arrays. There an observation of shape (1,)
is broadcast to four columns and a reward ``"1"`` becomes 1.0, without a word.
"""

from __future__ import annotations

from typing import Any, NoReturn, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from rltransfer.errors import BadEnvironment, TransferError

# Looked up by type first: isinstance on numpy's abstract classes costs ten times as much.
_PLAIN_NUMBERS = frozenset({float, int, np.float64, np.float32, np.int64})


class StrictEnv(gym.Wrapper):
    """Refuses results that Stable-Baselines3 would broadcast or misread.

    Args:
        env: One environment.
        index: Its place in the vector, for messages.

    Raises:
        BadEnvironment: ``reset`` or ``step`` raised an error or did not return a 2- or 5-tuple, the
            observation has another shape than its space, or the reward is not a number.
    """

    def __init__(self, env: gym.Env, index: int = 0) -> None:
        super().__init__(env)
        self._index = index
        self._steps = 0
        self._space = env.observation_space
        self._shape = self._space.shape

    @property
    def spec(self) -> EnvSpec | None:
        """Spec of the environment, without this wrapper: it changes nothing."""
        return self.env.spec

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset, and check what comes back."""
        self._steps = 0
        try:
            result = self.env.reset(**kwargs)
        except Exception as error:
            self._pass_on(error)
        if type(result) is not tuple or len(result) != 2:
            self._refuse("reset() did not return (observation, info)")
        self._check(result[0])
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and check what comes back."""
        self._steps += 1
        try:
            result = self.env.step(action)
        except Exception as error:
            self._pass_on(error, action)
        if type(result) is not tuple or len(result) != 5:
            self._refuse(
                "step() did not return (observation, reward, terminated, truncated, info)", action
            )
        observation, reward = result[0], result[1]
        if type(observation) is not np.ndarray or observation.shape != self._shape:
            self._check(observation, action)
        if type(reward) not in _PLAIN_NUMBERS and not _is_number(reward):
            self._refuse(f"the reward is {reward!r}, not a number", action)
        return result

    def _check(self, observation: Any, action: Any = None) -> None:
        problem = misfit(self._space, observation)
        if problem is not None:
            self._refuse(problem, action)

    def _pass_on(self, error: Exception, action: Any = None) -> NoReturn:
        if isinstance(error, TransferError):
            raise error
        problem = f"it raised {type(error).__name__}: {' '.join(str(error).split())}"
        raise broken(self._task(), self._index, self._steps, action, problem) from error

    def _refuse(self, problem: str, action: Any = None) -> NoReturn:
        raise broken(self._task(), self._index, self._steps, action, problem)

    def _task(self) -> str:
        return self.spec.id if self.spec is not None else str(self.unwrapped)


def misfit(space: spaces.Space, value: Any, name: str = "observation") -> str | None:
    """Say how a value does not fit the shape of a space.

    Args:
        space: What was promised.
        value: What the environment returned.
        name: How to call the value.

    Returns:
        Such as ``"observation has shape (5,), its space has (4,)"``; None if it fits. Bounds and
        precision are not compared: many environments leave theirs, and nothing breaks.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or value.keys() != space.spaces.keys():
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            return f"{name} has the keys {got}, its space has {sorted(space.spaces)}"
        parts = [(part, value[key], f"{name}[{key!r}]") for key, part in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            return f"{name} is not a tuple of {len(space.spaces)} parts, as its space is"
        parts = [(part, value[i], f"{name}[{i}]") for i, part in enumerate(space.spaces)]
    else:
        return _misfit_array(space, value, name)
    return next((found for part in parts if (found := misfit(*part))), None)


def _misfit_array(space: spaces.Space, value: Any, name: str) -> str | None:
    if space.shape is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return f"{name} is ragged, its space has shape {space.shape}"
    if array.dtype.kind not in "biuf":
        return f"{name} is {value!r}, not numbers"
    if array.shape != space.shape:
        return f"{name} has shape {array.shape}, its space has {space.shape}"
    return None


def _is_number(reward: Any) -> bool:
    if isinstance(reward, np.ndarray):
        return reward.shape == () and reward.dtype.kind in "biuf"
    return isinstance(reward, int | float | np.integer | np.floating | np.bool)


def broken(task: str, index: int, step: int, action: Any, problem: str) -> BadEnvironment:
    """Build the error of an environment that broke its contract.

    Args:
        task: Its task id.
        index: Its place in the vector.
        step: Steps since its reset; 0 is the reset itself.
        action: The action taken; not shown for a reset.
        problem: What is wrong.
    """
    when = f"at step {step} after action {_short(action)}" if step else "at reset"
    return BadEnvironment(
        f"{task}, environment {index}, {when}: {problem};"
        f" mend the environment, and try it with `rltransfer check {task}`"
    )


def _short(action: Any) -> str:
    return " ".join(np.array2string(np.asarray(action), threshold=8, separator=", ").split())
