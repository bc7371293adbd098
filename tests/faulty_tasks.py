"""Environments that commit one fault at one step; importable, so that worker processes find them.

``faulty/Faulty-v0`` counts up, and so do ``faulty/FAULT-STEP-v0``. The one that is seeded with
``bad`` commits ``fault`` at step ``at`` of its episode ``episode``; all others are sound.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

#: Faults of a step, and what the error says of each.
FAULTS = {
    "raise": "it raised RuntimeError: the motor failed",
    "quit": "it raised SystemExit: 7",
    "nan observation": r"observation\[2\] is nan",
    "inf observation": r"observation\[2\] is -inf",
    "nan reward": "the reward is nan, not a finite number",
    "inf reward": "the reward is inf, not a finite number",
    "long observation": r"observation has shape \(5,\), its space has \(4,\)",
    "short observation": r"observation has shape \(1,\), its space has \(4,\)",
    "object observation": "observation is array.*of dtype object, its space has float32",
    "text reward": "the reward is '1', not a number",
    "no reward": "the reward is None, not a number",
    "no observation": "observation is None, not numbers, its space has float32",
    "four results": "it raised ValueError: not enough values to unpack",
    "text flag": r"terminated is 'yes', not a bool: return bool\(\.\.\.\)",
    "array flag": r"truncated is array\(\[False\]\), not a bool",
    "no info": r"the info is \[\], not a dict",
    "new space": r"its observation_space was Box\(-99.*, \(4,\), float32\) and is now Box.*\(5,\)",
    "new actions": r"its action_space was Discrete\(2\) and is now Discrete\(3\)",
}
#: Faults that are seen at the next reset.
LATER = {
    "moved bounds": r"its observation_space was Box\(-99",
}
#: Faults of a reset.
RESET_FAULTS = {
    "raise": "it raised RuntimeError: the motor failed",
    "nan observation": r"observation\[2\] is nan",
    "long observation": r"observation has shape \(5,\), its space has \(4,\)",
    "no observation": "observation is None, not numbers",
    "no info": r"the info of reset\(\) is \[\], not a dict",
    "one result": r"reset\(\) did not return \(observation, info\)",
}
#: What harms nothing.
HARMLESS = ("none", "far observation", "float64 observation", "same array")


class Faulty(gym.Env):
    """Counts up, with noise.

    Args:
        fault: Which one.
        at: Step of the episode, from 1; 0 for its reset.
        episode: Which episode since it was seeded, from 1.
        bad: Seed of the environment that is faulty.
        length: Steps of an episode.
    """

    def __init__(
        self,
        fault: str = "none",
        at: int = 1,
        episode: int = 1,
        bad: int = 1,
        length: int = 60,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = spaces.Box(-99, 99, (4,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.fault, self.at, self.episode, self.bad = fault, at, episode, bad
        self.length, self.lock = length, threading.Lock()
        self.array = np.zeros(4, np.float32)
        self.seeded: int | None = None
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.seeded, self.episodes = seed, 0
        self.episodes += 1
        self.steps = 0
        fault = self._fault()
        if fault == "one result":
            return self._state(fault)
        return self._state(fault), [] if fault == "no info" else {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        fault = self._fault()
        reward: Any = {"nan reward": np.nan, "inf reward": np.inf, "text reward": "1"}.get(
            fault, 1.0
        )
        reward = None if fault == "no reward" else reward
        terminated = "yes" if fault == "text flag" else self.steps >= self.length
        truncated = np.zeros(1, bool) if fault == "array flag" else False
        info = [] if fault == "no info" else {}
        results = self._state(fault), reward, terminated, truncated, info
        return results[:4] if fault == "four results" else results

    def _fault(self) -> str:
        now = (self.seeded, self.episodes, self.steps) == (self.bad, self.episode, self.at)
        return self.fault if now else "none"

    def _state(self, fault: str) -> Any:
        if fault in _ACTS:
            _ACTS[fault](self)
        state = self.np_random.normal(self.steps / 10, 1, 4).astype(np.float32)
        if fault in _VALUES:
            state[2] = _VALUES[fault]
        if fault in _LENGTHS:
            return np.ones(_LENGTHS[fault], np.float32)
        if fault in ("object observation", "no observation"):
            return state.astype(object) if fault == "object observation" else None
        if self.fault == "float64 observation":
            return state.astype(np.float64) + 1e-12
        if self.fault == "same array":
            self.array[:] = state
            return self.array
        return state


def _raise(env: Faulty) -> None:
    raise RuntimeError("the motor\nfailed")


def _new_space(env: Faulty) -> None:
    env.observation_space = spaces.Box(-99, 99, (5,), np.float32)


def _new_actions(env: Faulty) -> None:
    env.action_space = spaces.Discrete(3)


def _moved_bounds(env: Faulty) -> None:
    env.observation_space.high[1] = 5  # pyright: ignore[reportAttributeAccessIssue]


_VALUES = {"nan observation": np.nan, "inf observation": -np.inf, "far observation": 1e6}
_LENGTHS = {"long observation": 5, "short observation": 1}
_ACTS = {
    "raise": _raise,
    "quit": lambda env: sys.exit(7),
    "exit": lambda env: os._exit(7),
    "hang": lambda env: time.sleep(3600),
    "new space": _new_space,
    "new actions": _new_actions,
    "moved bounds": _moved_bounds,
}

gym.register("faulty/Faulty-v0", "faulty_tasks:Faulty", max_episode_steps=100)
for _fault in ("exit", "hang", *FAULTS, *LATER, *HARMLESS):
    for _at in (1, 50):
        gym.register(
            f"faulty/{_fault.replace(' ', '_')}-{_at}-v0",
            "faulty_tasks:Faulty",
            max_episode_steps=100,
            kwargs={"fault": _fault, "at": _at},
        )
