"""One environment that refuses to break its contract in ways that nothing else would notice.

Stable-Baselines3 copies what an environment returns into arrays. There an observation of shape (1,)
is broadcast to four columns and a reward ``"1"`` becomes 1.0, without a word.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, NoReturn, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rltransfer.errors import EnvironmentWarning, TransferError
from rltransfer.faults import broken, one_line, shown
from rltransfer.finite import float_keys, not_finite
from rltransfer.fits import misfit, rounded, same_space
from rltransfer.heartbeat import beat

# Looked up by type first: isinstance on numpy's abstract classes costs ten times as much.
_PLAIN_NUMBERS = frozenset({float, int, np.float64, np.float32, np.int64})
_FLAGS = frozenset({bool, np.bool})
_ARRAY = np.ndarray
_SPACES = ("observation_space", "action_space")


class StrictEnv(gym.Wrapper):
    """Refuses results that Stable-Baselines3 would broadcast or misread.

    Observations of float64 for a space of float32 are rounded, as Stable-Baselines3 does; a warning
    says so once. That a space changes is noticed at once if the environment replaces it, and at the
    next reset if it changes the bounds of the one it has.

    Args:
        env: One environment.
        index: Its place in the vector, for messages.

    Raises:
        BadEnvironment: ``reset`` or ``step`` raised an error or did not return a 2- or 5-tuple; the
            observation has another shape than its space, or a dtype that does not go into it; the
            reward is not a number; ``terminated`` or ``truncated`` is not a bool; the info is not a
            dict; or a space changed.
    """

    def __init__(self, env: gym.Env, index: int = 0) -> None:
        super().__init__(env)
        self._index = index
        self._steps = self._episodes = 0
        self._seed: int | None = None
        # Copies: the environment may change its own.
        self._promised = {name: deepcopy(getattr(env, name)) for name in _SPACES}
        self._space = self._promised["observation_space"]
        self._shape = self._space.shape
        # Numpy's own object, which arrays have: compared by identity.
        self._dtype = None if self._space.dtype is None else np.dtype(self._space.dtype.str)
        self._finer: Any = None  # A dtype that is rounded, once that was said.
        # The innermost: reading through all wrappers would cost as much as all other checks.
        self._innermost: Any = env.unwrapped
        if any(isinstance(getattr(type(env.unwrapped), name, None), property) for name in _SPACES):
            # They may be made anew whenever they are read, so they are compared at resets alone.
            self._innermost = SimpleNamespace(**self._promised)
        self._held = self._innermost.observation_space
        self._held_actions = self._innermost.action_space
        beat()  # A simulator may take long to start, and there may be many.

    @property
    def spec(self) -> EnvSpec | None:
        """Spec of the environment, without this wrapper: it changes nothing."""
        return self.env.spec

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset, and check what comes back."""
        seed = kwargs.get("seed")
        self._episodes = self._episodes + 1 if seed is None else 1
        self._seed = self._seed if seed is None else int(seed)
        self._steps = 0
        try:
            result = self.env.reset(**kwargs)
        except (Exception, SystemExit) as error:
            self._pass_on(error)
        beat()
        if type(result) is not tuple or len(result) != 2:
            self._refuse("reset() did not return (observation, info)")
        self._check(result[0])
        if not isinstance(result[1], dict):
            self._refuse(f"the info of reset() is {shown(result[1])}, not a dict")
        self._check_spaces()
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and check what comes back."""
        self._steps += 1
        try:
            result = self.env.step(action)
        except (Exception, SystemExit) as error:
            self._pass_on(error, action)
        if type(result) is not tuple or len(result) != 5:
            self._refuse(
                "step() did not return (observation, reward, terminated, truncated, info)", action
            )
        observation, reward, terminated, truncated, info = result
        if (
            type(observation) is not _ARRAY
            or observation.shape != self._shape
            or observation.dtype is not self._dtype
        ):
            self._check(observation, action)
        if type(reward) not in _PLAIN_NUMBERS and not _is_number(reward):
            self._refuse(f"the reward is {shown(reward)}, not a number", action)
        if type(terminated) not in _FLAGS or type(truncated) not in _FLAGS:
            self._refuse_flag(terminated, truncated, action)
        if type(info) is not dict and not isinstance(info, dict):
            self._refuse(f"the info is {shown(info)}, not a dict", action)
        env = self._innermost
        if env.observation_space is not self._held or env.action_space is not self._held_actions:
            self._check_spaces(action)
        return result

    def _check(self, observation: Any, action: Any = None) -> None:
        if type(observation) is _ARRAY and observation.shape == self._shape:
            dtype = observation.dtype
            if dtype is self._dtype or dtype is self._finer:
                return
        problem = misfit(self._space, observation)
        if problem is not None:
            self._refuse(problem, action)
        finer = rounded(self._space, observation)
        if finer is not None and self._finer is None:
            self._finer = observation.dtype
            warnings.warn(
                f"{self._task()}: its observations are {finer}, and are rounded to the"
                f" {self._dtype} of its space: return obs.astype(np.{self._dtype}), or give the"
                f" space dtype=np.{finer}",
                EnvironmentWarning,
                stacklevel=2,
            )

    def _check_spaces(self, action: Any = None) -> None:
        for name, promised in self._promised.items():
            now = getattr(self.env, name)
            if not same_space(now, promised):
                self._refuse(f"its {name} was {promised} and is now {now}", action)
        self._held = self._innermost.observation_space
        self._held_actions = self._innermost.action_space

    def _refuse_flag(self, terminated: Any, truncated: Any, action: Any) -> NoReturn:
        flags = {"terminated": terminated, "truncated": truncated}
        name = next(name for name, flag in flags.items() if type(flag) not in _FLAGS)
        self._refuse(f"{name} is {shown(flags[name])}, not a bool: return bool(...)", action)

    def _pass_on(self, error: BaseException, action: Any = None) -> NoReturn:
        # Too little memory is not the environment's fault alone, and has a name of its own.
        if isinstance(error, TransferError | MemoryError):
            raise error
        self._refuse(f"it raised {one_line(error)}", action, error)

    def _refuse(
        self, problem: str, action: Any = None, cause: BaseException | None = None
    ) -> NoReturn:
        where = (self._task(), self._index, self._steps, action, problem)
        raise broken(*where, seed=self._seed, episode=self._episodes, cause=cause) from cause

    def _task(self) -> str:
        return self.spec.id if self.spec is not None else str(self.unwrapped)


class FiniteEnv(StrictEnv):
    """Refuses observations that hold NaN or infinity, too.

    For observations that are kept one by one; those of a vector are looked at together.

    Args:
        env: One environment.
        index: Its place among others, for messages.

    Raises:
        BadEnvironment: As for :class:`StrictEnv`, or an observation is not finite.
    """

    def __init__(self, env: gym.Env, index: int = 0) -> None:
        super().__init__(env, index)
        self._keys = float_keys(self._space)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset, and check what comes back."""
        result = super().reset(**kwargs)
        self._require_finite(result[0])
        return result

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and check what comes back."""
        result = super().step(action)
        self._require_finite(result[0], action)
        return result

    def _require_finite(self, observation: Any, action: Any = None) -> None:
        problem = not_finite(observation, self._keys)
        if problem is not None:
            self._refuse(problem, action)


def _is_number(reward: Any) -> bool:
    if isinstance(reward, np.ndarray):
        return reward.shape == () and reward.dtype.kind in "biuf"
    return isinstance(reward, int | float | np.integer | np.floating | np.bool)
