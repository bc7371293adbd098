"""Small trained models of every kind that an agent can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from torch import nn

from rltransfer.agents import Agent, Card

VECTOR = spaces.Box(-2.0, 2.0, (5,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
BOTH = spaces.Dict({"image": IMAGE, "speed": spaces.Box(-1.0, 1.0, (2,), np.float32)})
MOVE = spaces.Box(-1.0, 1.0, (2,), np.float32)
PRESS = spaces.Discrete(3)
SMALL = {"net_arch": [8, 8]}


class Sampled(gym.Env):
    """Observations drawn from a space, and a reward that depends on the action."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.steps += 1
        reward = float(np.sum(np.asarray(action, dtype=np.float64)))
        return self.observation_space.sample(), reward, False, self.steps >= 7, {}

    def action_masks(self) -> np.ndarray:
        mask = np.ones(int(self.action_space.n), dtype=bool)  # pyright: ignore
        mask[self.steps % 2] = False
        return mask


class Doubling(BaseFeaturesExtractor):
    """A features extractor of the user."""

    def __init__(self, observation_space: spaces.Box, features: int = 6) -> None:
        super().__init__(observation_space, features)
        self.linear = nn.Linear(observation_space.shape[0], features)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return 2 * self.linear(observations)


def venv(observation_space: gym.Space, action_space: gym.Space, n_envs: int = 2) -> VecEnv:
    return DummyVecEnv([lambda: Sampled(observation_space, action_space)] * n_envs)


def train(kind: Any, policy: Any, env: VecEnv, **changes: Any) -> Any:
    settings = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "device": "cpu", "seed": 3}
    return kind(policy, env, **{**settings, **changes}).learn(32)


def normalized(**settings: Any) -> VecEnv:
    return VecNormalize(venv(VECTOR, MOVE), **settings)


CASES: dict[str, Callable[[], Any]] = {
    "discrete": lambda: train(
        PPO,
        "MlpPolicy",
        venv(VECTOR, PRESS),
        policy_kwargs={"net_arch": {"pi": [8], "vf": [9, 7]}, "activation_fn": nn.ReLU},
        learning_rate=LinearSchedule(1e-3, 1e-4, 0.5),
    ),
    "box": lambda: train(
        PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs={**SMALL, "log_std_init": -0.5}
    ),
    "gsde": lambda: train(
        PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL, use_sde=True, sde_sample_freq=4
    ),
    "multidiscrete": lambda: train(
        PPO,
        "MlpPolicy",
        venv(spaces.Discrete(4), spaces.MultiDiscrete([2, 3])),
        policy_kwargs={
            **SMALL,
            "optimizer_class": torch.optim.RMSprop,
            "optimizer_kwargs": {"alpha": 0.9, "momentum": 0.1},
        },
    ),
    "multibinary": lambda: train(
        PPO, "MlpPolicy", venv(spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3))
    ),
    "image": lambda: train(PPO, "CnnPolicy", venv(IMAGE, PRESS), n_epochs=1),
    "dict": lambda: train(
        PPO,
        "MultiInputPolicy",
        venv(BOTH, MOVE),
        n_epochs=1,
        policy_kwargs={
            "share_features_extractor": False,
            "features_extractor_kwargs": {"cnn_output_dim": 16},
            **SMALL,
        },
    ),
    "maskable": lambda: train(
        MaskablePPO, "MlpPolicy", venv(VECTOR, PRESS), policy_kwargs=SMALL, clip_range_vf=0.3
    ),
    "recurrent": lambda: train(
        RecurrentPPO,
        "MlpLstmPolicy",
        venv(VECTOR, PRESS),
        policy_kwargs={**SMALL, "lstm_hidden_size": 8, "enable_critic_lstm": False},
    ),
    "normalized": lambda: train(
        PPO, "MlpPolicy", normalized(clip_obs=5.0, gamma=0.9), policy_kwargs=SMALL
    ),
    "own extractor": lambda: train(
        PPO,
        "MlpPolicy",
        venv(VECTOR, PRESS),
        policy_kwargs={
            **SMALL,
            "features_extractor_class": Doubling,
            "features_extractor_kwargs": {"features": 4},
        },
    ),
}
CARD = Card(name="test", task="test/Sampled-v0", steps=32, seed=3, versions={"torch": "x"})
OWN = {"Doubling": Doubling}


def agent(case: str = "box") -> Agent:
    return Agent.from_model(CASES[case](), card=CARD)


def predictions(model: Any, n: int = 12) -> list[np.ndarray]:
    """Deterministic actions, recurrent states, values and log probabilities."""
    space = model.observation_space
    space.seed(0)
    samples = [space.sample() for _ in range(n)]
    state, results = None, []
    for observation in samples:
        action, state = model.predict(observation, state, deterministic=True)
        results += [np.asarray(action), *(() if state is None else state)]
    if state is None:
        batch = (
            {key: np.stack([s[key] for s in samples]) for key in samples[0]}
            if isinstance(space, spaces.Dict)
            else np.stack(samples)
        )
        tensors, _ = model.policy.obs_to_tensor(batch)
        actions = torch.as_tensor(np.stack(results))
        value, log_prob, entropy = model.policy.evaluate_actions(tensors, actions)
        results += [part.detach().numpy() for part in (value, log_prob, entropy)]
    return results


def assert_same_predictions(first: Any, second: Any) -> None:
    pairs = list(zip(predictions(first), predictions(second), strict=True))
    assert pairs and all(np.array_equal(one, other) for one, other in pairs)


def assert_same_tensors(first: Any, second: Any) -> None:
    assert set(first) == set(second)
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype and torch.equal(tensor, second[name]), name
