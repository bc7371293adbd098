"""Environments whose episodes a source begins before the learner takes over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from rltransfer.faults import broken
from rltransfer.finite import float_keys, not_finite
from rltransfer.heartbeat import beat
from rltransfer.training.guides.horizon import Horizon

Act = Callable[[Any], Any]
"""From an observation of one environment to the action of the source."""


class Guide:
    """A source that begins the episodes of a model's environments.

    Args:
        act: What the source does.
        horizon: For how long.
        most: Steps of the source in one rollout after which it begins no further episode.

    Attributes:
        horizon: The same.
        taken: Steps that the source took and that :meth:`charge` has not given yet.
        left: Largest ``taken`` that the budget allows in this rollout.
    """

    def __init__(self, act: Act, horizon: Horizon, most: int) -> None:
        self.act = act
        self.horizon = horizon
        self.taken = 0
        self.left: float = math.inf
        self._most = most
        self._charged = 0

    def surround(self, venv: VecEnv) -> None:
        """Begin the episodes of environments from their next reset on.

        Args:
            venv: Environments that are stepped in turn, in whatever wrappers.
        """
        batch: Any = venv.unwrapped
        batch.envs = [Guided(env, self, index) for index, env in enumerate(batch.envs)]
        self.taken = 0

    def wanted(self) -> int:
        """Steps that the source is to play in the episode that begins now."""
        return self.allowed(self.horizon.draw()) if self.taken < self._most else 0

    def allowed(self, steps: int) -> int:
        """So many steps, or as many as the budget allows."""
        return int(max(0, min(steps, self.left - self.taken)))

    def charge(self) -> int:
        """Give the source's steps since the last time."""
        self._charged, self.taken = self.taken, 0
        return self._charged

    def log(self) -> dict[str, float]:
        """What is logged after a rollout."""
        return {"horizon": self.horizon.steps, "stage": self.horizon.stage, "steps": self._charged}

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs."""
        return self.horizon.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self.horizon.restore(state)


class Guided(gym.Wrapper):
    """One environment whose ``reset`` gives the state that the source hands over.

    It belongs around ``Monitor``, which so counts whole episodes; time limits below count the
    source's steps too.

    Args:
        env: The environment.
        guide: The source.
        index: Its place in the vector, for messages.
    """

    def __init__(self, env: gym.Env, guide: Guide, index: int = 0) -> None:
        super().__init__(env)
        self._guide = guide
        self._index = index
        self._led = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, and let the source play; if that ends it, begin another."""
        state = self.env.reset(seed=seed, options=options)
        self._led = self._guide.wanted()
        while self._led:
            handed_over, steps = self._lead(state[0])
            if handed_over is not None:
                return handed_over
            # Half of what it got to leads into the middle of an episode, and at last to none.
            self._led = self._guide.allowed(steps // 2)
            state = self.env.reset(options=options)
        return state

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the learner."""
        results = self.env.step(action)
        if results[2] or results[3]:
            self._guide.horizon.ended(self._led, results[4]["episode"]["r"])
        return results

    def _lead(self, observation: Any) -> tuple[tuple[Any, dict[str, Any]] | None, int]:
        """Let the source play.

        Returns:
            What ``reset`` is to give, or None if the episode ended; and the steps.
        """
        info: dict[str, Any] = {}
        require_finite(self.env, self._index, 0, None, observation)
        for step in range(1, self._led + 1):
            action = self._guide.act(observation)
            observation, reward, terminated, truncated, info = self.env.step(action)
            require_finite(self.env, self._index, step, action, observation, reward)
            self._guide.taken += 1
            beat()
            if terminated or truncated:
                return None, step
        return (observation, info), self._led


def require_finite(
    env: gym.Env, index: int, step: int, action: Any, observation: Any, reward: Any = 0.0
) -> None:
    """Refuse what a source would act upon, as the check around vectorized environments does.

    Args:
        env: One environment.
        index: Its place in the vector.
        step: Steps since its reset, this one included.
        action: The action taken; None for a reset.
        observation: What it gave.
        reward: What it gave.

    Raises:
        BadEnvironment: A number is NaN or infinite.
    """
    problem = not_finite(observation, float_keys(env.observation_space))
    if problem is None and not np.isfinite(reward):
        problem = f"the reward is {reward}, not a finite number"
    if problem is not None:
        name = env.spec.id if env.spec else "the target"
        raise broken(name, index, step, action, problem)
