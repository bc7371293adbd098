"""Terms against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from transfer_cases import KINDS, adapted

import rltransfer as rlt
from rltransfer.agents import Agent, Card
from rltransfer.carry import carry_over
from rltransfer.methods import L2SP, Kickstart, Smoothing
from rltransfer.recipe import Recipe
from rltransfer.training.build import build_model
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.fading import faded
from rltransfer.training.terms.pull import Pull, Pulled


def test_divergence_of_choices_by_hand() -> None:
    p = Actions((2,), torch.tensor([[0.5, 0.5]]).log())
    q = Actions((2,), torch.tensor([[0.9, 0.1]]).log())
    by_hand = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert kl(p, q).item() == pytest.approx(by_hand, rel=1e-6)
    assert kl(p, p).item() == pytest.approx(0, abs=1e-7)


def test_divergence_of_coins_is_that_of_two_sides() -> None:
    coins = Actions((1, 1), torch.tensor([[0.3, -1.0]])), Actions((1, 1), torch.zeros(1, 2))
    sides = Actions((2, 2), torch.tensor([[0.3, 0, -1.0, 0]])), Actions((2, 2), torch.zeros(1, 4))
    assert kl(*coins).item() == pytest.approx(kl(*sides).item(), rel=1e-6)


def test_divergence_of_normal_distributions_is_torchs() -> None:
    normal = torch.distributions.Normal
    mean, std = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    other, wide = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(other, wide)).sum(-1)
    found = kl(Actions((), mean, std.log()), Actions((), other, wide.log()))
    assert torch.allclose(found, expected, rtol=1e-5)


def test_strengths_fade() -> None:
    linear = Kickstart(strength=2, fade="linear", until=0.5)
    assert [faded(linear, at) for at in (0, 0.25, 0.5, 1)] == [2, 1, 0, 0]
    exponential = Kickstart(strength=1, until=0.4)
    assert faded(exponential, 0.2) == pytest.approx(0.05**0.5)
    assert faded(exponential, 0.4) == 0
    ratio = Kickstart(strength=1, fade="performance", until=1)
    assert faded(ratio, 0.9, ratio=0.25) == 0.75 and faded(ratio, 0.1, ratio=2) == 0
    assert faded(ratio, 0.1, ratio=-3) == 1, "worse than chance is no reason for more"


def test_the_rollout_that_exceeds_the_budget_turns_nothing_round() -> None:
    linear = Kickstart(fade="linear", until=1)
    assert faded(linear, 1.0) == faded(linear, 1.3) == 0
    model = rlt.adapt(
        "cartpole",
        "rlt/CartPoleLong-v0",
        Recipe(retain=linear),
        seed=0,
        n_envs=2,
        n_steps=64,
        batch_size=64,
    )
    model.learn(3 * 128 + 1)
    assert model.logger.name_to_value["transfer/kickstart/strength"] == 0


def test_a_method_that_is_over_before_it_begins_says_so() -> None:
    model = rlt.adapt(
        "cartpole",
        "rlt/CartPoleLong-v0",
        Recipe(retain=Kickstart()),
        seed=0,
        n_envs=2,
        n_steps=64,
        batch_size=64,
    )
    with pytest.warns(UserWarning, match=r"kickstart does nothing: its until=0\.4 .* after 50%"):
        model.learn(256)


def test_layers_that_normalize_by_batches_learn_from_rollouts_alone() -> None:
    ends = []
    for recipe in (Recipe(), Recipe(retain=Kickstart(until=1), regularize=Smoothing(eps=2))):
        with adapted("batchnorm", KINDS["batchnorm"].task(), recipe, learning_rate=1e-12) as model:
            model.learn(64)
            ends.append(dict(model.policy.named_buffers()))
    assert any("running_mean" in name for name in ends[0])
    for name, one in ends[0].items():
        torch.testing.assert_close(one, ends[1][name], msg=name)


def test_squared_distances_by_hand() -> None:
    copied, fresh = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0])
    pulled = [Pulled("w", copied, copied.detach().clone()), Pulled("b", fresh, 0.0, 0.5)]
    with torch.no_grad():
        copied += 1
    term = Pull("l2_sp", pulled)
    assert term.loss(None).item() == pytest.approx(2 / 2 + 0.5 * 9 / 2)  # type: ignore[arg-type]
    loss, gradients = term.by_weights({"w": copied.detach().numpy(), "other": np.ones(3)})
    assert loss == pytest.approx(1) and gradients.keys() == {"w"}
    assert gradients["w"].tolist() == [1, 1]


SPACES = {
    "discrete": spaces.Discrete(3),
    "several": spaces.MultiDiscrete([3, 2]),
    "coins": spaces.MultiBinary(2),
    "box": spaces.Box(-1, 1, (2,)),
}


@pytest.mark.parametrize("space", SPACES)
def test_closed_form_adds_what_autograd_adds(space: str) -> None:
    """One update by either, with a divergence at the outputs and distances at the weights."""
    ends = {}
    for path in ("closed_form", "autograd"):
        model = _small(SPACES[space])
        recipe = Recipe(
            retain=Kickstart(strength=2, until=1), regularize=L2SP(strength=0.5, fresh=0.1)
        )
        source = Agent.from_model(model, card=Card(name="small", task="none", steps=1))
        learner: Any = _small(SPACES[space])
        carry_over(learner, source, "none", recipe)
        with torch.no_grad():
            for parameter in learner.policy.parameters():
                parameter += 0.1
        learner.engine_options = rlt.EngineOptions(path=path)
        learner.learn(64)
        assert learner._running().plan().path == path
        ends[path] = [parameter.detach().numpy() for parameter in learner.policy.parameters()]
        logged = learner.logger.name_to_value
        ends[path].append(np.array([logged[name] for name in LOGGED]))
    for one, other in zip(*ends.values(), strict=True):
        assert np.allclose(one, other, atol=2e-6), np.abs(one - other).max()


LOGGED = ("transfer/kickstart/loss", "transfer/l2_sp/loss", "train/loss")


def _small(space: spaces.Space) -> Any:
    venv = DummyVecEnv([lambda: Still(space)] * 2)
    options = {"n_steps": 16, "batch_size": 16, "n_epochs": 2}
    kwargs = {"net_arch": [8, 8]}
    return build_model(
        "ppo", "MlpPolicy", venv, policy_kwargs=kwargs, hyperparameters=options, seed=0
    )


class Still(gym.Env[Any, Any]):
    """Observations and rewards at random, whatever is done."""

    observation_space = spaces.Box(-1, 1, (3,))

    def __init__(self, actions: spaces.Space) -> None:
        self.action_space = actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._look(), {}

    def step(self, action: Any) -> Any:
        return (
            self._look(),
            float(self.np_random.random()),
            self.np_random.random() < 0.1,
            False,
            {},
        )

    def _look(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)
