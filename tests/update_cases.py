"""Twin models with one rollout: one for SB3's own update, one for the engine's, in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import policies as sb3_policies
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import DummyVecEnv

from rltransfer.engine.records import Rollout, Settings, Statistics

N_STEPS, N_ENVS = 16, 2
ROWS = N_STEPS * N_ENVS

BOX = spaces.Box(-1.0, 1.0, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
SMALL_IMAGE = spaces.Box(0, 255, (1, 12, 12), np.uint8)
DICT = spaces.Dict({"image": IMAGE, "vector": BOX, "class": spaces.Discrete(3)})

DISCRETE = spaces.Discrete(3)
ACTIONS: dict[str, spaces.Space] = {
    "discrete": DISCRETE,
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "multidiscrete": spaces.MultiDiscrete([3, 2]),
    "multibinary": spaces.MultiBinary(3),
}

NO_CALLBACK = type("_Nothing", (BaseCallback,), {"_on_step": lambda self: True})


class NoiseEnv(gym.Env):
    """Observations and rewards are noise, and so are the ends of episodes."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        reward, ends = self.np_random.normal(), bool(self.np_random.random() < 0.1)
        return self.observation_space.sample(), float(reward), ends, False, {}


def new_model(
    policy: Any,
    observations: spaces.Space,
    actions: spaces.Space = DISCRETE,
    **options: Any,
) -> PPO:
    """Build a small PPO; 32 rows make minibatches of 12, 12 and 8 unless options say otherwise."""
    env = DummyVecEnv([lambda: NoiseEnv(observations, actions)] * N_ENVS)
    options = {"n_steps": N_STEPS, "batch_size": 12, "n_epochs": 3, "seed": 0, **options}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You have specified a mini-batch size", UserWarning)
        model = PPO(policy, env, device="cpu", learning_rate=1e-2, **options)
    model.set_logger(configure(None, []))
    return model


def collected(*args: Any, **options: Any) -> PPO:
    """Build a small PPO, and fill its rollout buffer by SB3's own code."""
    model = new_model(*args, **options)
    callback = NO_CALLBACK()
    _, callback = model._setup_learn(ROWS, callback)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, N_STEPS)
    # What noise was learned of noise is small: make the updates have something to clip.
    rng = np.random.default_rng(0)
    model.rollout_buffer.log_probs += rng.normal(0, 0.2, (N_STEPS, N_ENVS)).astype(np.float32)
    return model


def twins(*args: Any, prepare: Callable[[PPO], None] = lambda model: None, **options: Any) -> Any:
    """Build two equal models in float64 with equal rollouts."""
    pair = [collected(*args, **options) for _ in range(2)]
    for model in pair:
        model.policy.double()
        prepare(model)
        buffer = model.rollout_buffer
        for name in ("values", "log_probs", "advantages", "returns"):
            setattr(buffer, name, getattr(buffer, name).astype(np.float64))
    return pair


@contextmanager
def double_precision() -> Iterator[None]:
    """Let SB3 hand observations to the networks in float64."""
    original = sb3_policies.preprocess_obs

    def doubled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: doubled(part) for key, part in value.items()}
        return value.double()

    sb3_policies.preprocess_obs = lambda *args, **kwargs: doubled(original(*args, **kwargs))
    try:
        yield
    finally:
        sb3_policies.preprocess_obs = original


def rollout_of(model: PPO) -> Rollout:
    """The rollout of a model whose buffer still has its shape (n_steps, n_envs, ...)."""
    buffer = model.rollout_buffer

    def permutation() -> np.ndarray:
        shuffled = np.random.permutation(ROWS)
        return shuffled % N_STEPS * N_ENVS + shuffled // N_STEPS

    return Rollout(
        actions=buffer.actions.reshape(ROWS, -1),
        old_log_prob=buffer.log_probs.reshape(-1),
        old_values=buffer.values.reshape(-1),
        advantages=buffer.advantages.reshape(-1),
        returns=buffer.returns.reshape(-1),
        permutation=permutation,
    )


def settings_of(model: PPO) -> Settings:
    """The hyperparameters of a model, as of now."""
    progress, clip_values = model._current_progress_remaining, model.clip_range_vf
    names = ("batch_size", "n_epochs", "normalize_advantage", "ent_coef", "vf_coef")
    return Settings(
        clip_range=model.clip_range(progress),
        clip_range_vf=clip_values(progress) if callable(clip_values) else None,
        max_grad_norm=model.max_grad_norm,
        target_kl=model.target_kl,
        learning_rate=model.lr_schedule(progress),
        **{name: getattr(model, name) for name in names},
    )


def observed(model: PPO, step: int) -> Any:
    """Observations of a step, as the policy gets them while acting."""
    stored = model.rollout_buffer.observations
    if isinstance(stored, dict):
        return obs_as_tensor({key: part[step] for key, part in stored.items()}, model.device)
    return obs_as_tensor(stored[step], model.device)


def assert_same(stock: PPO, ours: PPO, statistics: Statistics, tolerance: float) -> None:
    """Compare weights, buffers, moments and statistics after an update."""
    theirs, mine = stock.policy.state_dict(), ours.policy.state_dict()
    for name, tensor in theirs.items():
        torch.testing.assert_close(mine[name], tensor, rtol=0.0, atol=tolerance, msg=name)
    _assert_same_state(stock.policy.optimizer.state_dict(), ours.policy.optimizer.state_dict())
    logged = stock.logger.name_to_value
    named = {
        "policy_gradient_loss": statistics.policy_loss,
        "value_loss": statistics.value_loss,
        "entropy_loss": statistics.entropy_loss,
        "approx_kl": statistics.approx_kl,
        "clip_fraction": statistics.clip_fraction,
        "loss": statistics.loss,
    }
    for name, number in named.items():
        # SB3 averages clip_fraction over float32 numbers.
        np.testing.assert_allclose(number, logged[f"train/{name}"], rtol=1e-6, atol=1e-9)


def _assert_same_state(theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    assert mine["param_groups"] == theirs["param_groups"]
    assert mine["state"].keys() == theirs["state"].keys()
    for index, state in theirs["state"].items():
        assert mine["state"][index].keys() == state.keys()
        for name, value in state.items():
            torch.testing.assert_close(mine["state"][index][name], value, rtol=1e-9, atol=1e-11)
