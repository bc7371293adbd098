"""Small tasks of every kind of space, and pairs of models that start equal."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed

from rltransfer.training import TransferPPO

OBSERVATIONS = {
    "vector": spaces.Box(-2.0, 2.0, (5,), np.float32),
    "double": spaces.Box(-2.0, 2.0, (5,), np.float64),
    "matrix": spaces.Box(-2.0, 2.0, (2, 3), np.float32),
    "class": spaces.Discrete(4),
    "classes": spaces.MultiDiscrete([3, 2]),
    "bits": spaces.MultiBinary(4),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
    "dict": spaces.Dict({"v": spaces.Box(-1.0, 1.0, (3,), np.float32), "c": spaces.Discrete(3)}),
    "dict with image": spaces.Dict(
        {
            "v": spaces.Box(-1.0, 1.0, (3,), np.float32),
            "i": spaces.Box(0, 255, (36, 36, 1), np.uint8),
        }
    ),
}
ACTIONS = {
    "discrete": spaces.Discrete(3),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
}


class Spaces(gym.Env):
    """Random observations, a reward that depends on the action, ends and time limits."""

    def __init__(self, observations: str = "vector", actions: str = "discrete") -> None:
        self.observation_space = OBSERVATIONS[observations]
        self.action_space = ACTIONS[actions]
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        reward = float(np.sum(action)) / 3 + float(self.np_random.normal()) * 0.1
        ended = self.np_random.random() < 0.08
        return self.observation_space.sample(), reward, ended, self._steps >= 9, {}


def policy_for(observations: str) -> str:
    if observations.startswith("dict"):
        return "MultiInputPolicy"
    return "CnnPolicy" if observations == "image" else "MlpPolicy"


def build(
    kind: type[PPO], observations: str = "vector", actions: str = "discrete", **options: Any
) -> Any:
    """A model on two of these environments, seeded."""
    venv = make_vec_env(lambda: Spaces(observations, actions), n_envs=2, seed=3)
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 8, "n_epochs": 3, **options}
    policy = settings.pop("policy", policy_for(observations))
    return kind(policy, venv, seed=5, device="cpu", **settings)


def pair(observations: str = "vector", actions: str = "discrete", **options: Any) -> Any:
    """SB3's model and ours, equal."""
    return tuple(build(kind, observations, actions, **options) for kind in (PPO, TransferPPO))


def learn(model: Any, iterations: int, callback: BaseCallback | None = None) -> Any:
    """Train from the same random state each time."""
    set_random_seed(11)
    torch.set_num_threads(1)
    model.learn(iterations * model.n_steps * model.n_envs, callback=callback)
    return model


def differences(one: Any, other: Any) -> float:
    """Largest difference of two models' parameters."""
    ours, theirs = (dict(m.policy.named_parameters()) for m in (one, other))
    assert ours.keys() == theirs.keys()
    return max((ours[name] - theirs[name]).detach().abs().max().item() for name in ours)
