"""Twin models with one rollout: one for SB3's own update, one for the closed form."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import policies
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from rltransfer.engine.closed_form import Learner, unsupported
from rltransfer.engine.closed_form.kernels import available
from rltransfer.engine.records import Rollout, Settings, Statistics

ENVS, STEPS = 3, 16
ACTION_SPACES: dict[str, spaces.Space] = {
    "discrete": spaces.Discrete(3),
    "one choice": spaces.Discrete(1),
    "multidiscrete": spaces.MultiDiscrete([3, 2, 4]),
    "multibinary": spaces.MultiBinary(4),
    "box": spaces.Box(-1, 1, (2,)),
    "box of two dimensions": spaces.Box(-1, 1, (2, 3)),
}
ACTIVATIONS: dict[str, Any] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky relu": nn.LeakyReLU,
    "elu": nn.ELU,
}
COMPILED = [
    pytest.param(False, id="plain"),
    pytest.param(
        True, id="compiled", marks=pytest.mark.skipif(not available(), reason="needs numba")
    ),
]


class Noise(gym.Env):
    """Random observations and rewards, so that an update meets rows of every kind."""

    observation_space = spaces.Box(-3, 3, (5,))

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        ended = bool(self.np_random.random() < 0.1)
        return self._observe(), float(self.np_random.normal()), ended, False, {}

    def _observe(self) -> np.ndarray:
        return self.np_random.normal(size=5).astype(np.float32)


def made(actions: str = "discrete", **changes: Any) -> PPO:
    """A model in double precision, with a full rollout buffer."""
    given = {"n_steps": STEPS, "batch_size": 12, "n_epochs": 3, "learning_rate": 0.01, **changes}
    policy_kwargs = {"net_arch": [8, 7], **given.pop("policy_kwargs", {})}
    venv = DummyVecEnv([lambda: Noise(ACTION_SPACES[actions])] * ENVS)
    model = PPO("MlpPolicy", venv, seed=0, device="cpu", policy_kwargs=policy_kwargs, **given)
    with torch.no_grad():  # SB3 starts with logits near 0, where much of an error would not show
        for parameter in model.policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    _, callback = model._setup_learn(10_000)
    model.collect_rollouts(venv, callback, model.rollout_buffer, STEPS)
    return model


def doubled(*args: Any, **kwargs: Any) -> PPO:
    model = made(*args, **kwargs)
    model.policy.double()
    buffer = vars(model.rollout_buffer)
    buffer.update({k: v.astype(np.float64) for k, v in buffer.items() if hasattr(v, "astype")})
    # Bernoulli's log_prob of float32 actions is float32, whatever the logits are.
    buffer["to_torch"] = lambda array: torch.as_tensor(array).double()
    return model


def rollout_of(model: PPO) -> tuple[np.ndarray, Rollout]:
    """Observations and the rest of a buffer that SB3 has not reordered yet."""
    buffer = model.rollout_buffer
    assert not buffer.generator_ready
    flat = {
        name: getattr(buffer, name).reshape(ENVS * STEPS, -1)
        for name in ("observations", "actions", "log_probs", "values", "advantages", "returns")
    }

    def permutation() -> np.ndarray:
        order = np.random.permutation(ENVS * STEPS)  # SB3's rows are those of one env in turn
        return order % STEPS * ENVS + order // STEPS

    return flat["observations"], Rollout(
        actions=flat["actions"],
        old_log_prob=flat["log_probs"].ravel(),
        old_values=flat["values"].ravel(),
        advantages=flat["advantages"].ravel(),
        returns=flat["returns"].ravel(),
        permutation=permutation,
    )


def settings_of(model: PPO, **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "batch_size": model.batch_size,
        "n_epochs": model.n_epochs,
        "clip_range": model.clip_range(1.0),  # pyright: ignore[reportCallIssue]
        "clip_range_vf": model.clip_range_vf and model.clip_range_vf(1.0),  # pyright: ignore
        "normalize_advantage": model.normalize_advantage,
        "ent_coef": model.ent_coef,
        "vf_coef": model.vf_coef,
        "max_grad_norm": model.max_grad_norm,
        "target_kl": model.target_kl,
        "learning_rate": model.lr_schedule(1.0),
        **changes,
    }
    return Settings(**given)


def update(model: PPO, *, compiled: bool, seed: int = 5, **changes: Any) -> Statistics:
    """The closed-form counterpart of ``model.train()``."""
    observations, rollout = rollout_of(model)

    def take(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = observations[rows]
        return features, features

    assert unsupported(model.policy, model.policy.optimizer) is None
    learner = Learner(model.policy, model.policy.optimizer, compiled=compiled)
    np.random.seed(seed)
    return learner.train(take, rollout, settings_of(model, **changes))


def stock_update(model: PPO, seed: int = 5) -> dict[str, float]:
    with pytest.MonkeyPatch.context() as patch:  # SB3 would turn observations into float32
        patch.setattr(policies, "preprocess_obs", lambda obs, *args, **kwargs: obs)
        np.random.seed(seed)
        model.train()
    return dict(model.logger.name_to_value)


def gap(ours: PPO, stock: PPO) -> float:
    """Largest difference of weights and moments; infinite where only one of two has any."""
    pairs = list(zip(ours.policy.parameters(), stock.policy.parameters(), strict=True))
    largest = max(float((a - b).detach().abs().max()) for a, b in pairs)
    states = ours.policy.optimizer.state, stock.policy.optimizer.state
    for a, b in pairs:
        one, two = (state.get(p, {}) for state, p in zip(states, (a, b), strict=True))
        if one.keys() != two.keys():
            return float("inf")
        for key in one:
            assert (one[key].dtype, one[key].shape) == (two[key].dtype, two[key].shape)
            largest = max(largest, float((one[key] - two[key]).abs().max()))
    return largest


def assert_same_logs(ours: Statistics, logged: dict[str, float]) -> None:
    for name, key in {
        "policy_loss": "policy_gradient_loss",
        "value_loss": "value_loss",
        "entropy_loss": "entropy_loss",
        "approx_kl": "approx_kl",
        "clip_fraction": "clip_fraction",
        "loss": "loss",
        "epochs": "n_updates",
    }.items():
        tolerance = 1e-7 if name == "clip_fraction" else 1e-10  # SB3 counts in float32
        expected = pytest.approx(logged[f"train/{key}"], abs=tolerance, rel=tolerance)
        assert getattr(ours, name) == expected, name


def assert_equal_updates(actions: str, compiled: bool, **kwargs: Any) -> Statistics:
    ours, stock = doubled(actions, **kwargs), doubled(actions, **kwargs)
    before = [p.detach().clone() for p in ours.policy.parameters() if p.requires_grad]
    found, logged = update(ours, compiled=compiled), stock_update(stock)
    trained = [p for p in ours.policy.parameters() if p.requires_grad]
    assert any(not torch.equal(a, b) for a, b in zip(before, trained, strict=True))
    assert gap(ours, stock) < 1e-10
    assert_same_logs(found, logged)
    return found


def freeze(model: PPO, prefixes: list[str]) -> None:
    for name, parameter in model.policy.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)
