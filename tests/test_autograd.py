"""The update through autograd is SB3's, whatever the policy and the optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn
from update_cases import (
    ACTIONS,
    BOX,
    DICT,
    DISCRETE,
    IMAGE,
    ROWS,
    assert_same,
    collected,
    double_precision,
    new_model,
    rollout_of,
    settings_of,
    twins,
)

from rltransfer.engine import autograd
from rltransfer.engine.autograd.minibatches import Minibatches
from rltransfer.engine.autograd.optimizing import fused

COLOURS = spaces.Box(0, 255, (36, 36, 3), np.uint8)


class SlowAdam(torch.optim.Adam):
    """An optimizer that the engine does not know."""


class Viewing(NatureCNN):
    """Needs its convolutions' output in the usual order."""

    def forward(self, observations: Any) -> Any:
        hidden = self.cnn[:-1](observations)
        return self.linear(hidden.view(len(hidden), -1))


class Doubting(ActorCriticPolicy):
    """Evaluates actions in its own way."""

    def evaluate_actions(self, obs: Any, actions: Any) -> Any:
        values, log_prob, entropy = super().evaluate_actions(obs, actions)
        return values * 0.5, log_prob, None if entropy is None else entropy + 1.0


def _train(model: PPO) -> Any:
    model.policy.set_training_mode(True)
    model._update_learning_rate(model.policy.optimizer)
    observations = model.rollout_buffer.observations
    return autograd.train(
        model.policy, model.policy.optimizer, observations, rollout_of(model), settings_of(model)
    )


def _check(*args: Any, updates: int = 2, tolerance: float = 1e-10, **options: Any) -> Any:
    """Update twins, by SB3's code and by the engine, and compare."""
    stock, ours = twins(*args, **options)
    with double_precision():
        for _ in range(updates):
            np.random.seed(1)
            stock.train()
            after = np.random.random()
            np.random.seed(1)
            statistics = _train(ours)
            assert np.random.random() == after
            assert_same(stock, ours, statistics, tolerance)
    assert stock._n_updates == updates * statistics.epochs or statistics.stopped_at is not None
    return stock, ours, statistics


@pytest.mark.parametrize("actions", list(ACTIONS))
@pytest.mark.parametrize("policy", ["MlpPolicy", "MultiInputPolicy"])
def test_every_action_space(policy: str, actions: str) -> None:
    observations = BOX if policy == "MlpPolicy" else spaces.Dict({"a": BOX, "b": DISCRETE})
    _check(policy, observations, ACTIONS[actions], ent_coef=0.01)


@pytest.mark.parametrize("actions", ["discrete", "box"])
def test_images(actions: str) -> None:
    _check("CnnPolicy", IMAGE, ACTIONS[actions], n_epochs=2)


def test_dict_of_image_vector_and_class() -> None:
    _check("MultiInputPolicy", DICT, n_epochs=1)


def test_separate_extractors_and_discrete_observations() -> None:
    separate = {"share_features_extractor": False}
    _check("CnnPolicy", IMAGE, n_epochs=1, policy_kwargs=separate)
    _check("MlpPolicy", spaces.Discrete(5), policy_kwargs=separate)


SDE = [
    {},
    {"full_std": False, "use_expln": True},
    {"squash_output": True},
]


@pytest.mark.parametrize("how", SDE, ids=str)
def test_state_dependent_exploration(how: dict[str, Any]) -> None:
    _check("MlpPolicy", BOX, ACTIONS["box"], use_sde=True, ent_coef=0.01, policy_kwargs=how)


OPTIMIZERS = [
    (torch.optim.Adam, {"amsgrad": True, "weight_decay": 0.1}),
    (torch.optim.Adam, {"foreach": True}),
    (torch.optim.Adam, {"maximize": True}),
    (torch.optim.AdamW, {"weight_decay": 0.1}),
    (torch.optim.SGD, {"momentum": 0.9}),
    (torch.optim.RMSprop, {}),
    (SlowAdam, {}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS, ids=str)
def test_every_optimizer(kind: Any, options: dict[str, Any]) -> None:
    chosen = {"optimizer_class": kind, "optimizer_kwargs": options}
    _check("MlpPolicy", BOX, policy_kwargs=chosen)


OPTIONS = [
    {"clip_range_vf": 0.05},
    {"normalize_advantage": False, "vf_coef": 0.3},
    {"batch_size": ROWS - 1},
    {"batch_size": 2 * ROWS},
    {"max_grad_norm": 1e-3},
    {"target_kl": 1e9},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option(options: dict[str, Any]) -> None:
    _check("MlpPolicy", BOX, ACTIONS["box"], **options)


@pytest.mark.parametrize("target_kl", [1e-6, 0.03])
def test_divergence_ends_the_update_before_the_step(target_kl: float) -> None:
    stock, _, statistics = _check(
        "MlpPolicy", BOX, target_kl=target_kl, n_epochs=10, updates=1, batch_size=8
    )
    assert statistics.stopped_at is not None
    assert statistics.epochs == statistics.stopped_at + 1 == stock._n_updates
    assert statistics.kl > 1.5 * target_kl


def test_a_policy_that_evaluates_in_its_own_way() -> None:
    _check(Doubting, BOX)


def test_frozen_layers_keep_weights_and_get_no_moments() -> None:
    def freeze(model: PPO) -> None:
        model.policy.mlp_extractor.policy_net[0].requires_grad_(False)

    _, ours, _ = _check("MlpPolicy", BOX, prepare=freeze)
    frozen = ours.policy.mlp_extractor.policy_net[0].weight
    assert frozen not in ours.policy.optimizer.state
    assert ours.policy.mlp_extractor.policy_net[2].weight in ours.policy.optimizer.state


def test_learning_rates_are_those_of_the_optimizers_groups() -> None:
    def split(model: PPO) -> None:
        group, names = model.policy.optimizer.param_groups[0], dict(model.policy.named_parameters())
        head = [names.pop("action_net.weight"), names.pop("action_net.bias")]
        rest = list(names.values())
        slow = {**group, "params": head}
        fast = {**group, "params": rest}

        def scale(optimizer: Any, args: Any, kwargs: Any) -> None:
            lr = group["lr"]
            optimizer.param_groups = [
                {**slow, "lr": 0.1 * lr, "fused": group["fused"]},
                {**fast, "lr": lr, "fused": group["fused"]},
            ]

        def back(optimizer: Any, args: Any, kwargs: Any) -> None:
            optimizer.param_groups = [group]

        model.policy.optimizer.register_step_pre_hook(scale)
        model.policy.optimizer.register_step_post_hook(back)

    _, scaled, _ = _check("MlpPolicy", BOX, prepare=split)
    _, plain, _ = _check("MlpPolicy", BOX)
    assert not torch.equal(scaled.policy.action_net.weight, plain.policy.action_net.weight)


def test_single_precision_differs_by_rounding_alone() -> None:
    pair = [collected("MlpPolicy", BOX, n_epochs=1) for _ in range(2)]
    np.random.seed(1)
    pair[0].train()
    np.random.seed(1)
    _train(pair[1])
    mine = pair[1].policy.state_dict()
    for name, tensor in pair[0].policy.state_dict().items():
        torch.testing.assert_close(mine[name], tensor, rtol=0.0, atol=2e-6)


def test_adam_is_fused_only_while_it_trains() -> None:
    model = new_model("MlpPolicy", BOX)
    optimizer = model.policy.optimizer
    (group,) = optimizer.param_groups
    with fused(optimizer):
        assert group["fused"] is True
    assert group["fused"] is None


@pytest.mark.parametrize("chosen", [{"foreach": False}, {"fused": False}])
def test_a_chosen_implementation_stays(chosen: dict[str, Any]) -> None:
    optimizer = torch.optim.Adam(nn.Linear(2, 2).parameters(), **chosen)
    (group,) = optimizer.param_groups
    before = {key: value for key, value in group.items() if key != "params"}
    with fused(optimizer):
        assert {key: value for key, value in group.items() if key != "params"} == before


def test_an_interrupted_update_leaves_whole_minibatches_and_the_optimizer_as_it_was() -> None:
    model = collected("MlpPolicy", BOX)
    steps = []

    def stop(optimizer: Any, args: Any, kwargs: Any) -> None:
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    model.policy.optimizer.register_step_post_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        _train(model)
    (group,) = model.policy.optimizer.param_groups
    assert group["fused"] is None
    assert {float(state["step"]) for state in model.policy.optimizer.state.values()} == {4.0}


def test_numbers_that_are_none_stay_visible() -> None:
    model = collected("MlpPolicy", BOX, n_epochs=1)
    model.rollout_buffer.returns[3, 1] = np.nan
    with pytest.raises(ValueError, match="nan"):
        _train(model)


def test_the_observations_of_the_buffer_are_not_copied() -> None:
    model = collected("CnnPolicy", IMAGE, n_epochs=1)
    before = model.rollout_buffer.observations
    kept = before.copy()
    _train(model)
    assert model.rollout_buffer.observations is before
    np.testing.assert_array_equal(before, kept)


@pytest.mark.parametrize(("kind", "wanted"), [(NatureCNN, True), (Viewing, False)])
def test_images_lie_as_convolutions_like_them_where_no_one_minds(kind: Any, wanted: bool) -> None:
    options = {"policy_kwargs": {"features_extractor_class": kind}, "n_epochs": 1}
    _, ours, _ = _check("CnnPolicy", COLOURS, **options)
    stored, rows = ours.rollout_buffer.observations, np.array([3, 1, 2])
    batches = Minibatches(ours.policy, stored, rollout_of(ours), None)
    images = batches.take(rows, batches.index(rows)).observations
    assert images.is_contiguous(memory_format=torch.channels_last) == wanted
    np.testing.assert_array_equal(images.numpy(), stored.reshape(ROWS, 3, 36, 36)[rows])


def test_why_there_is_no_graph_is_told() -> None:
    model, notes = collected("MlpPolicy", BOX), []
    optimizer, observations = model.policy.optimizer, model.rollout_buffer.observations
    rest = rollout_of(model), settings_of(model)
    autograd.train(
        model.policy, optimizer, observations, *rest, cuda_graph=True, notes=notes
    )  # fmt: skip
    assert notes == ["no CUDA graph: the device is cpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
def test_a_gpu_gives_the_same(policy: str, cuda_graph: bool) -> None:
    stock, ours = twins(policy, BOX if policy == "MlpPolicy" else IMAGE)
    for model in (stock, ours):
        model.device = torch.device("cuda")
        model.policy.to("cuda")
        model.rollout_buffer.device = model.device
    notes: list[str] = []
    with double_precision():
        np.random.seed(1)
        stock.train()
        np.random.seed(1)
        ours._update_learning_rate(ours.policy.optimizer)
        statistics = autograd.train(
            ours.policy,
            ours.policy.optimizer,
            ours.rollout_buffer.observations,
            rollout_of(ours),
            settings_of(ours),
            cuda_graph=cuda_graph,
            notes=notes,
        )
    assert not notes
    assert_same(stock, ours, statistics, 1e-8)
