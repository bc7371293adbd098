"""Evaluation without torch takes the actions that Stable-Baselines3's ``predict`` would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from closed_form_cases import ACTION_SPACES, ACTIVATIONS, made
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from rltransfer import registry
from rltransfer.engine.closed_form import Predictor, cannot_act
from rltransfer.evaluate import Evaluator
from rltransfer.evaluation import acting

OBSERVATIONS = np.random.default_rng(0).normal(size=(60, 40, 5)).astype(np.float32)


def played(choose: Callable[[np.ndarray], Any], rows: int) -> tuple[list[Any], torch.Tensor]:
    """Actions for a few batches, and what the generator gives after them."""
    torch.manual_seed(1)
    actions = [choose(batch[:rows]) for batch in OBSERVATIONS]
    return actions, torch.rand(3)


def assert_predicts(model: PPO, rows: int, *, deterministic: bool) -> np.ndarray:
    assert cannot_act(model.policy) is None
    predictor = Predictor(model.policy, deterministic=deterministic)
    ours, after = played(predictor.predict, rows)
    stock, expected = played(lambda o: model.predict(o, deterministic=deterministic)[0], rows)
    assert torch.equal(after, expected)
    for a, b in zip(ours, stock, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-5)
    return np.array(ours)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("actions", ACTION_SPACES)
@pytest.mark.parametrize("rows", [1, 20])
def test_every_head_acts_as_predict_does(rows: int, actions: str, deterministic: bool) -> None:
    ours = assert_predicts(made(actions), rows, deterministic=deterministic)
    if actions != "one choice":
        assert len(np.unique(ours)) > 1
    if actions == "box" and not deterministic:
        assert abs(ours).max() == 1.0  # some were clipped


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(
    "kwargs", [{}, {"net_arch": []}, {"full_std": False}, {"use_expln": True}], ids=str
)
@pytest.mark.parametrize("rows", [1, 20])
def test_gsde_acts_as_predict_does(rows: int, kwargs: dict[str, Any], deterministic: bool) -> None:
    model = made("box", use_sde=True, policy_kwargs=kwargs)
    model.policy.reset_noise(rows)
    sampled = assert_predicts(model, rows, deterministic=deterministic)
    model.policy.reset_noise(rows)
    again = assert_predicts(model, rows, deterministic=deterministic)
    assert np.array_equal(sampled, again) == deterministic


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_acts_as_predict_does(activation: str) -> None:
    model = made("box", policy_kwargs={"activation_fn": ACTIVATIONS[activation]})
    assert_predicts(model, 20, deterministic=True)


def test_frozen_policies_can_act() -> None:
    model = made("box")
    model.policy.requires_grad_(False)
    assert_predicts(model, 20, deterministic=False)


def test_one_batch_of_actions_survives_the_next() -> None:
    for model in (made("box"), made("multibinary"), made("box", use_sde=True)):
        predictor = Predictor(model.policy, deterministic=True)
        first: Any = predictor.predict(OBSERVATIONS[0])
        kept = first.copy()
        predictor.predict(OBSERVATIONS[1])
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("deterministic", [True, False])
def test_nothing_is_drawn_where_the_outputs_are_not_numbers(deterministic: bool) -> None:
    predictor = Predictor(made("discrete").policy, deterministic=deterministic)
    state = torch.get_rng_state()
    assert predictor.predict(np.full((2, 5), np.nan, np.float32)) is None
    assert torch.equal(torch.get_rng_state(), state)


class Pay(gym.Env):
    """Pays the action, 0 or 1."""

    observation_space = spaces.Box(-1, 1, (3,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(3, np.float32), float(action), False, False, {}


PAY = EnvSpec("Pay-v0", entry_point=lambda **_: Pay(), max_episode_steps=5)
ONE = torch.tensor([-50.0, 50.0])


def ones(observation: Any, *args: Any, **kwargs: Any) -> Any:
    return np.ones(len(observation), np.int64), None


def ones_tensor(observation: Any, deterministic: bool = False) -> torch.Tensor:
    return torch.ones(len(observation), dtype=torch.int64)


class OnePPO(PPO):
    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        return ones(observation)


class OnePolicy(ActorCriticPolicy):
    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        return ones_tensor(observation)


class OneLayer(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return ONE.expand(len(input), 2)


def zeros(algorithm: type[PPO] = PPO, policy: Any = "MlpPolicy") -> PPO:
    """A model whose weights say 0."""
    model = algorithm(policy, Pay(), seed=1, device="cpu")
    with torch.no_grad():
        model.policy.get_parameter("action_net.bias").copy_(-ONE)
    return model


def changed(change: Callable[[Any], object]) -> Callable[[], PPO]:
    def build() -> PPO:
        model = zeros()
        change(model)
        return model

    return build


def put_layer(model: Any) -> None:
    model.policy.action_net.__class__ = OneLayer


OVERRIDES: dict[str, Callable[[], PPO]] = {
    "algorithm": lambda: zeros(OnePPO),
    "policy": lambda: zeros(policy=OnePolicy),
    "predict of one model": changed(lambda model: setattr(model, "predict", ones)),
    "predict of one policy": changed(lambda model: setattr(model.policy, "predict", ones)),
    "_predict": changed(lambda model: setattr(model.policy, "_predict", ones_tensor)),
    "hook": changed(
        lambda model: model.policy.action_net.register_forward_hook(
            lambda module, given, output: ONE.expand(len(output), 2)
        )
    ),
    "layer": changed(put_layer),
}


@pytest.mark.parametrize("name", [None, *OVERRIDES])
@pytest.mark.parametrize("deterministic", [True, False])
def test_what_users_override_is_obeyed(name: str | None, deterministic: bool) -> None:
    model = zeros() if name is None else OVERRIDES[name]()
    with Evaluator(PAY, episodes=2) as evaluator:
        result = evaluator.run(model, deterministic=deterministic)
    assert result.returns.tolist() == ([0.0] * 2 if name is None else [5.0] * 2)


def test_what_is_left_to_predict() -> None:
    squashed = made("box", use_sde=True, policy_kwargs={"squash_output": True})
    assert cannot_act(squashed.policy) == "actions are squashed"
    vanishing = made("box")
    with torch.no_grad():
        vanishing.policy.get_parameter("log_std").fill_(-200.0)
    assert "standard deviations" in str(cannot_act(vanishing.policy))
    with Evaluator(PAY, episodes=2) as evaluator:
        broken = zeros()
        with torch.no_grad():
            broken.policy.get_parameter("action_net.weight").fill_(np.nan)
        for deterministic in (True, False):
            with pytest.raises(ValueError, match="Expected parameter logits"):
                evaluator.run(broken, deterministic=deterministic)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("CartPole-v1", {}),
        ("Acrobot-v1", {}),
        ("Pendulum-v1", {}),
        ("MountainCarContinuous-v0", {"use_sde": True, "sde_sample_freq": 4}),
    ],
)
def test_evaluations_are_those_of_predict(
    task: str, changes: dict[str, Any], deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PPO("MlpPolicy", registry.make(task), seed=1, device="cpu", **changes)
    with Evaluator(task, episodes=6, max_steps=150) as evaluator:
        ours = evaluator.run(model, deterministic=deterministic)
        calls: list[int] = []
        monkeypatch.setattr(acting, "cannot_act", lambda _: calls.append(1) or "asked to")
        stock = evaluator.run(model, deterministic=deterministic)
    assert calls == [1]
    np.testing.assert_array_equal(ours.lengths, stock.lengths)
    # Rounding differs, and grows along an episode.
    np.testing.assert_allclose(ours.returns, stock.returns, rtol=1e-4, atol=1e-6)
