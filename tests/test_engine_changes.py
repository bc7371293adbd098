"""What a callback or a user changes counts at once, as it does in SB3."""

from __future__ import annotations

import copy
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from engine_cases import build, differences, learn, pair
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from rltransfer.engine.options import EngineOptions
from rltransfer.training import TransferPPO

SAME = 1e-5


class Once(BaseCallback):
    """Calls a function with the policy once, at a moment of the second rollout."""

    def __init__(self, moment: str, change: Any) -> None:
        super().__init__()
        self.moment, self.change, self.seen = moment, change, 0

    def _at(self, moment: str, when: int) -> None:
        self.seen += moment == self.moment
        if moment == self.moment and self.seen == when:
            self.change(self.model.policy)

    def _on_rollout_start(self) -> None:
        self._at("start", 2)

    def _on_step(self) -> bool:
        self._at("step", 21)
        return True

    def _on_rollout_end(self) -> None:
        self._at("end", 2)


def _shift_by_data(policy: Any) -> None:
    policy.action_net.bias.data[0] += 0.5


def _raise_values(policy: Any) -> None:
    with torch.no_grad():
        policy.value_net.bias += 1.0


def _replace_head(policy: Any) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        policy.action_net = nn.Linear(64, 3)
    policy.optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4, eps=1e-5)


def _replace_activation(policy: Any) -> None:
    policy.mlp_extractor.policy_net[1] = nn.ReLU()


CHANGES = [_shift_by_data, _raise_values, _replace_head, _replace_activation]


@pytest.mark.parametrize("moment", ["start", "step", "end"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("path", ["auto", "autograd"])
def test_what_a_callback_changes(moment: str, change: Any, path: Any) -> None:
    if moment == "step" and change in (_replace_head, _replace_activation):
        pytest.skip("layers are looked at between rollouts")
    models = pair()
    models[1].engine_options = EngineOptions(path=path)
    assert differences(*(learn(m, 4, Once(moment, change)) for m in models)) < SAME


def _halve(module: Any, args: Any, output: Any) -> Any:
    return output * 0.5


def _hook(policy: Any) -> None:
    policy.features_extractor.register_forward_hook(_halve)


def _swap(policy: Any) -> None:
    policy.features_extractor.cnn[1] = nn.Tanh()


def _double_by_data(policy: Any) -> None:
    policy.features_extractor.cnn[0].weight.data.mul_(2)


@pytest.mark.parametrize("moment", ["start", "end"])
@pytest.mark.parametrize("change", [_hook, _swap, _double_by_data])
@pytest.mark.parametrize("frozen", ["", ".cnn"])
def test_what_a_callback_changes_in_a_frozen_extractor(
    moment: str, change: Any, frozen: str
) -> None:
    models = pair("image")
    for model in models:
        model.policy.get_submodule(f"features_extractor{frozen}").requires_grad_(False)
    assert differences(*(learn(m, 4, Once(moment, change)) for m in models)) < SAME


class Other(BaseCallback):
    """Gives the model another policy at the end of the first rollout."""

    kept: Any = None

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.kept is None:
            self.kept = self.model.policy
            policy: Any = copy.deepcopy(self.kept)
            for parameter in policy.parameters():
                parameter.data.mul_(1.1)
            policy.optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4, eps=1e-5)
            self.model.policy = policy


@pytest.mark.parametrize("frozen", ["", ".cnn"])
def test_another_policy_with_a_frozen_extractor(frozen: str) -> None:
    models = pair("image")
    for model in models:
        model.policy.get_submodule(f"features_extractor{frozen}").requires_grad_(False)
        learn(model, 4, Other())
    assert differences(*models) < SAME


def test_a_rollout_shorter_than_the_buffer_is_refused_as_by_sb3() -> None:
    for model in pair():
        model.n_steps = 8
        with pytest.raises(AssertionError):
            learn(model, 1)


class Last(BaseCallback):
    """Keeps what the end of a rollout shows."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.last = [torch.as_tensor(self.locals[name]) for name in ("n_steps", "values", "dones")]


@pytest.mark.parametrize("path", ["auto", "autograd"])
def test_the_end_of_a_rollout_shows_the_last_values(path: Any) -> None:
    callbacks = Last(), Last()
    for model, callback in zip(pair(), callbacks, strict=True):
        model.engine_options = EngineOptions(path=path)
        learn(model, 2, callback)
    torch.testing.assert_close(callbacks[0].last, callbacks[1].last, atol=SAME, rtol=SAME)


class Counting:
    """A schedule that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, progress: float) -> float:
        self.asked += 1
        return 1e-3


@pytest.mark.parametrize("path", ["auto", "stock"])
def test_schedules_are_asked_as_often_as_by_sb3(path: Any) -> None:
    asked = []
    for kind in (PPO, TransferPPO):
        rate, clip = Counting(), Counting()
        model = build(kind, learning_rate=rate, clip_range=clip)
        model.engine_options = EngineOptions(path=path)
        learn(model, 3)
        asked.append((rate.asked, clip.asked))
    assert asked[0] == asked[1]


def test_copies_and_pickles_after_learning() -> None:
    model = learn(build(TransferPPO), 2)
    model.predict(np.zeros((2, 5), np.float32))
    for same in (copy.deepcopy(model), cloudpickle.loads(cloudpickle.dumps(model))):
        assert differences(learn(same, 2), learn(copy.deepcopy(model), 2)) == 0
        assert same._engine._model is same
