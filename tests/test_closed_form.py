"""Closed-form updates equal Stable-Baselines3's own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from closed_form_cases import (
    ACTION_SPACES,
    ACTIVATIONS,
    COMPILED,
    ENVS,
    STEPS,
    assert_equal_updates,
    doubled,
    freeze,
    gap,
    made,
    rollout_of,
    settings_of,
    stock_update,
    update,
)
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import torch_layers

from rltransfer.engine.closed_form import Learner

OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "clipped values": {"clip_range_vf": 0.1},
    "entropy": {"ent_coef": 0.05},
    "raw advantages": {"normalize_advantage": False},
    "truncated minibatch": {"batch_size": 20},
    "minibatch of one row": {"batch_size": 47},
    "one minibatch": {"batch_size": 64},
    "no clipping of gradients": {"max_grad_norm": 1e6},
    "tight clipping": {"clip_range": 0.01, "max_grad_norm": 0.01},
}


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size:UserWarning")
@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("actions", ACTION_SPACES)
def test_an_update_equals_sb3(actions: str, option: str, compiled: bool) -> None:
    found = assert_equal_updates(actions, compiled, **{"ent_coef": 0.01, **OPTIONS[option]})
    if option == "tight clipping" and actions != "one choice":
        assert found.clip_fraction > 0.5


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "net_arch",
    [[], [6], {"pi": [5], "vf": [9, 4, 3]}, {"pi": [], "vf": [6]}, {"pi": [6, 6]}],
    ids=str,
)
def test_every_architecture_equals_sb3(net_arch: Any, activation: str, compiled: bool) -> None:
    kwargs = {"net_arch": net_arch, "activation_fn": ACTIVATIONS[activation]}
    assert_equal_updates("box", compiled, policy_kwargs=kwargs, ent_coef=0.01)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("actions", ["discrete", "box"])
def test_target_kl_ends_an_update_before_the_step(actions: str, compiled: bool) -> None:
    found = assert_equal_updates(actions, compiled, target_kl=0.01, n_epochs=10, batch_size=16)
    assert found.stopped_at is not None
    assert found.kl > 0.015
    assert found.epochs == found.stopped_at + 1 < 10


@pytest.mark.parametrize("compiled", COMPILED)
def test_an_unreached_target_kl_changes_nothing(compiled: bool) -> None:
    found = assert_equal_updates("discrete", compiled, target_kl=1e6)
    assert found.stopped_at is None
    assert np.isnan(found.kl)


FROZEN = {
    "actor below": ["mlp_extractor.policy_net.0."],
    "actor in the middle": ["mlp_extractor.policy_net.2."],
    "trunk": ["mlp_extractor."],
    "whole critic": ["mlp_extractor.value_net.", "value_net."],
    "whole actor": ["mlp_extractor.policy_net.", "action_net.", "log_std"],
    "weights without biases": ["mlp_extractor.policy_net.0.weight", "value_net.weight"],
    "deviation": ["log_std"],
}


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("frozen", FROZEN)
def test_frozen_layers_have_no_part_in_an_update(frozen: str, compiled: bool) -> None:
    ours, stock = doubled("box", max_grad_norm=0.1), doubled("box", max_grad_norm=0.1)
    for model in (ours, stock):
        freeze(model, FROZEN[frozen])
    before = {n: p.detach().clone() for n, p in ours.policy.named_parameters()}
    update(ours, compiled=compiled), stock_update(stock)
    assert gap(ours, stock) < 1e-10
    for name, parameter in ours.policy.named_parameters():
        assert torch.equal(before[name], parameter) != parameter.requires_grad, name


def collect_again(*models: PPO) -> None:
    """Fill the buffers as a next rollout might, the same for all."""
    for model in models:
        generator, buffer = np.random.default_rng(3), model.rollout_buffer
        for name in ("observations", "actions", "log_probs", "values", "advantages", "returns"):
            dims = {"observations": (5,), "actions": (2,)}.get(name, ())
            drawn = generator.normal(size=(STEPS, ENVS, *dims)).astype(np.float32)
            setattr(buffer, name, drawn.astype(np.float64))
        buffer.log_probs -= 2.0
        buffer.generator_ready = False


@pytest.mark.parametrize("compiled", COMPILED)
def test_updates_go_on_from_each_others_moments(compiled: bool) -> None:
    ours, stock = doubled("box"), doubled("box")
    for model in (ours, stock):
        freeze(model, ["mlp_extractor.policy_net.0."])
    update(ours, compiled=compiled), stock_update(stock)
    for model in (ours, stock):  # thawed: its moments are younger than the others
        model.policy.requires_grad_(True)
    collect_again(ours, stock)
    update(ours, compiled=compiled, seed=6), stock_update(stock, seed=6)
    collect_again(ours, stock)
    stock_update(ours, seed=7), stock_update(stock, seed=7)
    assert gap(ours, stock) < 1e-10
    steps = {float(state["step"]) for state in ours.policy.optimizer.state.values()}
    assert len(steps) == 2


@pytest.mark.parametrize("compiled", COMPILED)
def test_lr_scale_equals_parameter_groups(compiled: bool) -> None:
    scales = {"mlp_extractor.policy_net.0.weight": 0.1, "log_std": 2.0, "value_net.bias": 0.0}
    ours, stock = doubled("box"), doubled("box")
    optimizer = stock.policy.optimizer
    single = optimizer.param_groups[0]
    grouped = [
        {**single, "params": [parameter], "lr": single["lr"] * scales.get(name, 1.0)}
        for name, parameter in stock.policy.named_parameters()
    ]
    optimizer.param_groups = grouped
    stock._update_learning_rate = lambda optimizers: None  # pyright: ignore
    update(ours, compiled=compiled, lr_scale=scales), stock_update(stock)
    assert gap(ours, stock) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_separate_features_reach_their_own_towers(compiled: bool) -> None:
    def halves(batch: torch.Tensor) -> torch.Tensor:
        return batch * 0.5

    kwargs = {"policy_kwargs": {"share_features_extractor": False}}
    ours, stock = doubled("discrete", **kwargs), doubled("discrete", **kwargs)
    stock.policy.vf_features_extractor.forward = halves  # pyright: ignore
    observations, rollout = rollout_of(ours)
    learner = Learner(ours.policy, ours.policy.optimizer, compiled=compiled)
    np.random.seed(5)
    learner.train(
        lambda rows: (observations[rows], observations[rows] * 0.5), rollout, settings_of(ours)
    )
    stock_update(stock)
    assert gap(ours, stock) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("actions", ACTION_SPACES)
def test_single_precision_is_as_close_as_rounding_allows(actions: str, compiled: bool) -> None:
    ours, stock = made(actions), made(actions)
    found, logged = update(ours, compiled=compiled), stock_update(stock)
    for a, b in zip(ours.policy.parameters(), stock.policy.parameters(), strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).detach().abs().max()) < 2e-5
    assert found.value_loss == pytest.approx(logged["train/value_loss"], rel=1e-5)


@pytest.mark.parametrize("compiled", COMPILED)
def test_values_after_an_update_are_those_of_the_new_weights(compiled: bool) -> None:
    model = made("discrete")
    observations, rollout = rollout_of(model)
    learner = Learner(model.policy, model.policy.optimizer, compiled=compiled)
    learner.train(lambda rows: (observations[rows],) * 2, rollout, settings_of(model))
    given = -observations[: model.batch_size]  # as many rows as a minibatch, whose memory is free
    with torch.no_grad():
        values = model.policy.predict_values(torch.from_numpy(given)).ravel()
    np.testing.assert_allclose(learner.predict_values(given), values, atol=1e-5)


class Repeated(torch_layers.BaseFeaturesExtractor):
    """Features as wide as those of images, from few observations."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space, 5 * 30)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return observations.repeat(1, 30)


@pytest.mark.parametrize("compiled", COMPILED)
def test_wide_features_equal_sb3(compiled: bool) -> None:
    kwargs = {"policy_kwargs": {"features_extractor_class": Repeated}}
    ours, stock = doubled("box", **kwargs), doubled("box", **kwargs)
    observations, rollout = rollout_of(ours)
    features = np.tile(observations, 30)
    learner = Learner(ours.policy, ours.policy.optimizer, compiled=compiled)
    np.random.seed(5)
    learner.train(lambda rows: (features[rows],) * 2, rollout, settings_of(ours))
    stock_update(stock)
    assert gap(ours, stock) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_observations_that_are_not_numbers_end_an_update_as_in_sb3(compiled: bool) -> None:
    ours, stock = doubled("box"), doubled("box")
    for model in (ours, stock):
        model.rollout_buffer.observations[7, 1, 2] = np.nan
    with pytest.raises(ValueError, match="not numbers in 1 of 12 rows"):
        update(ours, compiled=compiled)
    with pytest.raises(ValueError, match="Expected parameter loc"):
        stock_update(stock)
    assert gap(ours, stock) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("actions", ["discrete", "box", "multibinary"])
@pytest.mark.parametrize("name", ["advantages", "returns", "log_probs"])
def test_targets_that_are_not_numbers_stay_visible(name: str, actions: str, compiled: bool) -> None:
    kwargs = {"n_epochs": 1, "batch_size": 48, "normalize_advantage": False}
    ours, stock = doubled(actions, **kwargs), doubled(actions, **kwargs)
    for model in (ours, stock):
        getattr(model.rollout_buffer, name)[7, 1] = np.nan
    found, logged = update(ours, compiled=compiled), stock_update(stock)
    assert np.isnan(found.loss) and np.isnan(logged["train/loss"])
    for a, b in zip(ours.policy.parameters(), stock.policy.parameters(), strict=True):
        assert torch.equal(a.isnan(), b.isnan())


class Interrupted(Exception):
    """What ends an update early."""


def run_until(model: PPO, minibatches: int, *, compiled: bool) -> None:
    """Update by so many whole minibatches."""
    observations, rollout = rollout_of(model)
    left = minibatches

    def take(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal left
        if not left:
            raise Interrupted
        left -= 1
        return observations[rows], observations[rows]

    learner = Learner(model.policy, model.policy.optimizer, compiled=compiled)
    np.random.seed(5)
    with pytest.raises(Interrupted):
        learner.train(take, rollout, settings_of(model))


@pytest.mark.parametrize("compiled", COMPILED)
def test_an_exception_leaves_the_minibatches_before_it(compiled: bool) -> None:
    ours, stock = doubled("box", n_epochs=3), doubled("box", n_epochs=2)
    run_until(ours, 8, compiled=compiled)
    stock_update(stock)
    assert gap(ours, stock) < 1e-10


def test_an_interrupt_at_any_moment_leaves_whole_minibatches() -> None:
    model = made("box", batch_size=48, n_epochs=6)
    freeze(model, ["mlp_extractor.policy_net.2."])  # two stretches, which step one by one
    policy, optimizer = model.policy, model.policy.optimizer
    start = {name: value.clone() for name, value in policy.state_dict().items()}

    def fresh() -> None:
        policy.load_state_dict(start)
        optimizer.state.clear()

    def snapshot() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        weights = [p.detach().clone() for p in policy.parameters()]
        return weights, [v.clone() for state in optimizer.state.values() for v in state.values()]

    whole = []
    for minibatches in range(6):
        fresh()
        run_until(model, minibatches, compiled=False)
        whole.append(snapshot())
    fresh()
    update(model, compiled=False)
    whole.append(snapshot())

    seen = set()
    for ended in _interrupted(lambda: update(model, compiled=False), fresh, times=150):
        weights, moments = snapshot()
        steps = int(moments[0]) if moments else 0
        seen.add((steps, ended))
        assert all(map(torch.equal, weights, whole[steps][0]))
        assert len(moments) == len(whole[steps][1])
        assert all(map(torch.equal, moments, whole[steps][1]))
    assert len(seen) >= 4


def _interrupted(
    action: Callable[[], object], prepare: Callable[[], None], times: int
) -> Iterator[bool]:
    """Do something again and again, with a signal at random moments; whether it was cut short."""
    armed = False

    def interrupt(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    generator = np.random.default_rng(0)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(times):
            prepare()
            ended = True
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-5, 4e-3))
                action()
                ended = False
                armed = False
            except KeyboardInterrupt:
                armed = False
            # A signal within torch's own no_grad() can leave gradients off.
            torch.set_grad_enabled(True)
            yield ended
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
