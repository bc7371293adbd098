"""Spaces, layers and habits that the engine's fast paths have to decline, or to honour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import ACTIONS, OBSERVATIONS, differences, learn, pair
from gymnasium import spaces
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnvWrapper
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

SAME = 1e-5


@pytest.mark.parametrize(
    ("space", "closed"),
    [
        (spaces.Box(-3, 3, (2,), np.int32), False),
        (spaces.Box(-1, 1, (2,), np.float16), False),
        (spaces.Box(-1, 1, (2,), np.float64), True),
        (spaces.MultiDiscrete([3, 2], dtype=np.int8), True),
    ],
    ids=str,
)
def test_actions_of_other_types(monkeypatch: Any, space: Any, closed: bool) -> None:
    monkeypatch.setitem(ACTIONS, "odd", space)
    stock, ours = (learn(model, 3) for model in pair(actions="odd"))
    assert differences(stock, ours) < SAME
    assert ("rounds actions" in ours.engine_report()) is not closed


def test_a_replaced_forward_of_a_flatten_extractor() -> None:
    models = pair()
    for model in models:
        model.policy.features_extractor.forward = lambda x: torch.flatten(x, 1) * 2
        learn(model, 3)
    assert differences(*models) < SAME
    assert "forward of features_extractor was replaced" in models[1].engine_report()


@pytest.mark.parametrize("options", [{}, {"target_kl": 1e-5, "learning_rate": 1e-2}], ids=str)
def test_gradients_stay_as_the_last_minibatch_made_them(options: dict[str, Any]) -> None:
    models = pair(actions="box", **options)
    for model in models:
        model.policy.mlp_extractor.policy_net.requires_grad_(False)
        learn(model, 3)
    stock, ours = (dict(model.policy.named_parameters()) for model in models)
    for name, parameter in stock.items():
        assert (parameter.grad is None) == (ours[name].grad is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name].grad, parameter.grad, atol=SAME, rtol=1e-3)


class Viewing(nn.Module):
    """Calls ``view``, which refuses channels that lie together."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8, 4)

    def forward(self, images: Any) -> Any:
        return self.layer(images).view(len(images), -1)


def _own_layer(policy: Any) -> None:
    torch.manual_seed(0)
    policy.features_extractor.cnn = Viewing()
    policy.features_extractor.linear = nn.Linear(256, 512)
    policy.optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4, eps=1e-5)


def _own_hook(policy: Any) -> None:
    layer = policy.features_extractor.cnn[0]
    layer.register_forward_hook(lambda module, args, out: out.view(len(out), -1).view(out.shape))


@pytest.mark.parametrize("change", [_own_layer, _own_hook])
def test_layers_and_hooks_that_need_the_usual_order(monkeypatch: Any, change: Any) -> None:
    images = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    monkeypatch.setitem(OBSERVATIONS, "channels first", images)
    models = pair("channels first", policy="CnnPolicy")
    for model in models:
        change(model.policy)
        learn(model, 2)
    assert differences(*models) < SAME


class Averaging(BaseFeaturesExtractor):
    """Subtracts the mean of what it saw while acting, which is no buffer."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, 5)
        self.count = 0

    def forward(self, observations: Any) -> Any:
        if not self.count:
            self.mean = observations.mean(0)
        self.count += 1
        if not self.training:
            self.mean += (observations.mean(0) - self.mean) / self.count
        return observations - self.mean


class Shaking(BaseFeaturesExtractor):
    """Adds noise from numpy's global generator."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, 5)

    def forward(self, observations: Any) -> Any:
        noise = np.random.normal(size=tuple(observations.shape))
        return observations + 0.1 * torch.as_tensor(noise, dtype=torch.float32)


@pytest.mark.parametrize("kind", [Averaging, Shaking])
def test_looking_at_an_extractor_leaves_no_trace(kind: Any) -> None:
    models = pair(policy_kwargs={"features_extractor_class": kind})
    assert differences(*(learn(model, 3) for model in models)) < SAME


class Reusing(VecEnvWrapper):
    """Hands out terminal observations in one array, and those of images as the task gave them."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            terminal = info.get("terminal_observation")
            if terminal is not None:
                terminal = np.moveaxis(terminal, 0, -1) if terminal.ndim == 3 else terminal
                self.kept = getattr(self, "kept", np.empty_like(terminal))
                self.kept[...] = terminal
                info["terminal_observation"] = self.kept
        return observations, rewards, dones, infos


@pytest.mark.parametrize("observations", ["vector", "colors"])
def test_terminal_observations_of_any_kind(monkeypatch: Any, observations: str) -> None:
    colors = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    monkeypatch.setitem(OBSERVATIONS, "colors", colors)
    policy = "CnnPolicy" if observations == "colors" else "MlpPolicy"
    models = pair(observations, policy=policy)
    for model in models:
        model.policy.features_extractor.requires_grad_(False)
        model.env = Reusing(model.env)
        learn(model, 3)
    assert "closed form" in models[1].engine_report()
    assert differences(*models) < SAME


def _halve_log_prob(model: Any) -> None:
    plain = model.policy.action_dist.log_prob
    model.policy.action_dist.log_prob = lambda actions: plain(actions) * 0.5


def _shrink_rewards(model: Any) -> None:
    buffer = model.rollout_buffer
    plain = buffer.compute_returns_and_advantage

    def compute(last_values: Any, dones: Any) -> None:
        buffer.rewards *= 0.1
        plain(last_values, dones)

    buffer.compute_returns_and_advantage = compute


@pytest.mark.parametrize("change", [_halve_log_prob, _shrink_rewards])
def test_replaced_methods_are_called(change: Any) -> None:
    models = pair()
    for model in models:
        change(model)
        learn(model, 3)
    assert differences(*models) < SAME
    assert "was replaced" in models[1].engine_report()


def test_a_replaced_method_of_a_known_callback(tmp_path: Any) -> None:
    models = pair()
    for model in models:
        callback = CheckpointCallback(10**9, str(tmp_path))
        callback._on_step = lambda held=callback: _disturb(held)  # type: ignore[method-assign]
        learn(model, 3, callback)
    assert differences(*models) < SAME


@torch.no_grad()
def _disturb(callback: Any) -> bool:
    if callback.n_calls == 9:
        callback.model.policy.action_net.bias[0] += 2
    return True


def _halve_tanh(module: Any, args: Any, output: Any) -> Any:
    return output * 0.5 if isinstance(module, nn.Tanh) else None


def test_a_hook_on_all_modules() -> None:
    hook = register_module_forward_hook(_halve_tanh)
    try:
        models = [learn(model, 3) for model in pair()]
        assert "all modules have a hook" in models[1].engine_report()
    finally:
        hook.remove()
    assert differences(*models) < SAME


def _forget(optimizer: Any, args: Any, kwargs: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad.zero_()


def test_a_hook_on_all_optimizers() -> None:
    hook = register_optimizer_step_pre_hook(_forget)
    try:
        models = [learn(model, 3) for model in pair()]
    finally:
        hook.remove()
    assert differences(*models) < SAME
