"""The command as a user runs it, in a folder with files that a user wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rltransfer import Agent, pretrain

ROOT = Path(__file__).parents[1]

MY_TASKS = '''
import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

import rltransfer


class Pole(CartPoleEnv):
    """A pole with another length, and the constant that follows from it."""

    def __init__(self, length=0.5, render_mode=None):
        super().__init__(render_mode=render_mode)
        self.length = length
        self.polemass_length = self.masspole * length


class Broken(CartPoleEnv):
    """Returns NaN at the third step: in the observation or as the reward."""

    def __init__(self, what="observation", render_mode=None):
        super().__init__(render_mode=render_mode)
        self.what, self.steps = what, 0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, *rest = super().step(action)
        self.steps += 1
        if self.steps == 3 and self.what == "observation":
            observation = np.full_like(observation, np.nan)
        if self.steps == 3 and self.what == "reward":
            reward = float("nan")
        return observation, reward, *rest


LIMIT = {"max_episode_steps": 20}
gym.register("my/Pole-v0", "my_tasks:Pole", kwargs={"length": 1.0}, **LIMIT)
gym.register("my/NaNObservation-v0", "my_tasks:Broken", **LIMIT)
gym.register("my/NaNReward-v0", "my_tasks:Broken", kwargs={"what": "reward"}, **LIMIT)
gym.register("my/Endless-v0", "my_tasks:Pole")
rltransfer.register_task(
    "my/Pole-v0", summary="a longer pole", base="CartPole-v1", random=18.0, reference=20.0
)
'''


def environment(**changes: str) -> dict[str, str]:
    """Environment variables under which a process finds this source tree."""
    paths = [str(ROOT), str(ROOT / "envs"), str(ROOT / "zoo")]
    known = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    return {**known, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", **changes}


def command(*args: object) -> list[str]:
    """The command line; like an installed script, it does not have the current folder's modules."""
    return [sys.executable, "-P", "-m", "rltransfer", *map(str, args)]


def run(*args: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``rltransfer ARGS`` in a folder."""
    settings = {"env": environment(), "text": True, "capture_output": True, "timeout": 600}
    return subprocess.run(command(*args), cwd=cwd, **{**settings, **options})


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder by path; folders have no content. Compiled modules are left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def tiny_agent(**changes: Any) -> Agent:
    """An agent that has hardly been trained, on CartPole."""
    settings = {
        "n_envs": 2,
        "n_steps": 32,
        "batch_size": 32,
        "n_epochs": 2,
        "policy_kwargs": {"net_arch": [8, 8]},
        "episodes": 2,
        "name": "tiny",
    }
    return pretrain("CartPole-v1", 64, **{**settings, **changes})
