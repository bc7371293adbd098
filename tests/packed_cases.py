"""Small tasks with unequal spaces, for tests of policies that learn many."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LENGTH = 5
SPACES: dict[str, tuple[gym.Space, gym.Space]] = {
    "vector": (spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)),
    "other": (spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(3)),
    "masked": (spaces.Box(-2, 2, (2,), np.float32), spaces.Discrete(3, start=1)),
    "dict": (
        spaces.Dict({"near": spaces.Discrete(4, start=2), "far": spaces.MultiBinary(3)}),
        spaces.MultiDiscrete([2, 3]),
    ),
    "classes": (spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(2)),
    "continuous": (
        spaces.Box(-1, 1, (2, 2), np.float32),
        spaces.Box(np.float32([-1, 0]), np.float32([1, 2])),
    ),
}


class Small(gym.Env):
    """Shows samples of a space; the reward depends on the action and the step."""

    def __init__(self, kind: str = "vector") -> None:
        self.observation_space, self.action_space = deepcopy(SPACES[kind])
        self.step_count = 0
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.step_count, self.taken = 0, []
        return self.observation_space.sample(), {"start": True}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        self.step_count += 1
        self.taken.append(action)
        reward = float(np.sum(action)) + self.step_count
        return self.observation_space.sample(), reward, False, False, {"n": self.step_count}

    def render(self) -> np.ndarray:
        return np.full((2, 2, 3), self.step_count, np.uint8)

    def double(self, number: int, *, more: int = 0) -> int:
        return 2 * number + more


class Shown(Small):
    """Can be looked at."""

    render_mode = "rgb_array"


class Masked(Small):
    """Allows the actions that its step says."""

    def action_masks(self) -> np.ndarray:
        return np.arange(3) != self.step_count % 3


def register() -> None:
    """Register ``small/KIND-v0`` for each kind of space."""
    for kind in SPACES:
        made: Any = Masked if kind == "masked" else Small
        gym.register(
            f"small/{kind}-v0", made, max_episode_steps=LENGTH, kwargs={"kind": kind},
            order_enforce=False,
        )  # fmt: skip
