"""Closed-form updates of several tasks equal those of autograd, number for number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from closed_form_cases import ACTIVATIONS, COMPILED
from multitask_closed_form_cases import (
    BITS,
    CHOICES,
    CLASSES,
    TORQUES,
    Case,
    box,
    four_tasks,
    freeze,
    gap,
    made,
    observations_of,
    same,
    settings,
    sharing_tasks,
    snapshot,
    torch_update,
    twins,
    update,
)

from rltransfer.engine.multitask.closed_form import MultiTaskLearner
from rltransfer.engine.multitask.closed_form import encoders as encoders_module
from rltransfer.engine.multitask.closed_form import learner as learner_module
from rltransfer.engine.multitask.closed_form import update as update_module
from rltransfer.engine.multitask.closed_form.summary import ENTRY
from rltransfer.errors import BadArgument
from rltransfer.policies.tasks import PolicyTask

ORDERS = {
    "sorted": [0, 0, 1, 2, 2, 2, 3],
    "mixed": [3, 0, 2, 1, 0, 2, 2],
    "some tasks": [2, 3, 2],
    "one task": [1, 1],
}


@pytest.fixture(params=["together", "one by one"])
def _encoders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to multiply by the encoders, whatever is faster."""
    monkeypatch.setattr(encoders_module, "BEGINNING", 1e9 if request.param == "together" else 0)


def learner_of(policy: Any, *, compiled: bool = False) -> MultiTaskLearner:
    return MultiTaskLearner(policy, policy.optimizer, compiled=compiled)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sizes", [[6, 5], []])
def test_log_prob_and_values_equal_the_policy(order: str, sizes: Any, compiled: bool) -> None:
    policy = made(normalize_observations=True, trunk_kwargs={"sizes": sizes})
    given = observations_of(policy, np.array(ORDERS[order]))
    tensor = torch.from_numpy(given).double()
    with torch.no_grad():
        actions, values, log_prob = policy(tensor)
    learner = learner_of(policy, compiled=compiled)
    np.testing.assert_allclose(learner.predict_values(given), values[:, 0], rtol=0, atol=1e-10)
    found = learner.log_prob(given, actions.numpy())
    np.testing.assert_allclose(found, log_prob, rtol=0, atol=1e-10)


def test_long_batches_are_evaluated_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module, "CHUNK", 5)
    policy = made()
    given = observations_of(policy, np.random.default_rng(0).integers(0, 4, 33))
    tensor = torch.from_numpy(given).double()
    with torch.no_grad():
        actions, values, log_prob = policy(tensor)
    learner = learner_of(policy)
    np.testing.assert_allclose(learner.predict_values(given), values[:, 0], rtol=0, atol=1e-10)
    found = learner.log_prob(given, actions.numpy())
    np.testing.assert_allclose(found, log_prob, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("_encoders")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_samples_are_those_of_the_policy(order: str, precision: torch.dtype) -> None:
    ours, theirs = (policy.to(precision) for policy in twins(four_tasks(noise=0.8)))
    learner, tasks = learner_of(ours), np.array(ORDERS[order])
    for step in range(4):  # correlated noise remembers the step before
        given = observations_of(ours, tasks, seed=step)
        torch.manual_seed(step)
        found = learner.act(given)
        torch.manual_seed(step)
        with torch.no_grad():
            expected = theirs(torch.from_numpy(given).to(precision))[0].numpy()
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_acting_follows_the_weights_and_statistics_that_were_read() -> None:
    ours, theirs = twins(normalize_observations=True)
    learner = learner_of(ours)
    given = observations_of(ours, np.array(ORDERS["mixed"]))
    learner.act(given)
    for policy in (ours, theirs):
        with torch.no_grad():
            policy.observation_stats["torques-v0"].mean.add_(3)
            policy.actor.trunk.layers[0][0].bias.add_(0.4)
    learner.read()
    torch.manual_seed(1)
    found = learner.act(given)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(given).double())[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("wrong", [4.0, -1.0, 0.5, math.nan])
def test_rows_of_no_task_are_refused(wrong: float) -> None:
    policy = made()
    given = observations_of(policy, np.array([0, 1]))
    given[1, 0] = wrong
    with pytest.raises(BadArgument, match=r"which is no task .* 2 \(torques-v0\)"):
        learner_of(policy).act(given)


CHANGES: dict[str, dict[str, Any]] = {
    "one minibatch": {"n_epochs": 1, "batch_size": 48},
    "several": {},
    "last one smaller": {"batch_size": 36},
    "clipped values": {"clip_range_vf": 0.1},
    "normalized advantages": {"normalize_advantage": True},
    "no entropy": {"ent_coef": 0.0},
    "no clipping of the gradient": {"max_grad_norm": 1e9},
}


@pytest.mark.usefixtures("_encoders")
@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("changes", CHANGES)
def test_updates_equal_autograd(changes: str, compiled: bool) -> None:
    ours, theirs = twins()
    case, before = Case(ours), snapshot(ours, "")
    update(ours, case, compiled=compiled, **CHANGES[changes])
    torch_update(theirs, case, **CHANGES[changes])
    assert gap(ours, theirs) < 1e-10
    assert all(not torch.equal(p, before[name][0]) for name, p in ours.named_parameters())


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_equal_autograd(activation: str, compiled: bool) -> None:
    ours, theirs = twins(activation_fn=ACTIVATIONS[activation], normalize_observations=True)
    case = Case(ours)
    update(ours, case, compiled=compiled), torch_update(theirs, case)
    assert gap(ours, theirs) < 1e-10


@pytest.mark.usefixtures("_encoders")
@pytest.mark.parametrize("compiled", COMPILED)
def test_shared_encoders_and_heads_equal_autograd(compiled: bool) -> None:
    ours, theirs = twins(sharing_tasks())
    case = Case(ours)
    update(ours, case, compiled=compiled), torch_update(theirs, case)
    assert gap(ours, theirs) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_heads_of_one_output_equal_autograd(compiled: bool) -> None:
    tasks = [
        PolicyTask(id=f"{size}-v0", observation_space=box(size), action_space=box(1))
        for size in (3, 1, 4, 2)
    ]
    ours, theirs = twins(tasks)
    for among in ((0, 1, 2, 3), (1, 2)):
        case = Case(ours, among=among)
        update(ours, case, compiled=compiled), torch_update(theirs, case)
        assert gap(ours, theirs) < 1e-10


def test_one_task_equals_autograd() -> None:
    ours, theirs = twins(four_tasks()[:1])
    case = Case(ours, among=(0,))
    update(ours, case, compiled=False), torch_update(theirs, case)
    assert gap(ours, theirs) < 1e-10


def test_a_trunk_without_layers_equals_autograd() -> None:
    ours, theirs = twins(trunk_kwargs={"sizes": []})
    case = Case(ours)
    update(ours, case, compiled=False), torch_update(theirs, case)
    assert gap(ours, theirs) < 1e-10


FROZEN = {
    "first trunk layer": ["actor.trunk.layers.0", "critic.trunk.layers.0"],
    "trunk": ["actor.trunk", "critic.trunk"],
    "encoders": ["actor.encoders", "critic.encoders"],
    "one encoder": ["actor.encoders.torques-v0"],
    "all but the heads": ["actor.", "critic."],
    "the actor and a part of the critic": ["actor.", "action_heads", "log_stds", "critic.enc"],
    "a head": ["action_heads.torques-v0", "log_stds.torques-v0", "value_heads.bits-v0"],
    "all but the encoders": ["actor.trunk", "critic.trunk", "action_heads", "log_std", "value"],
}


@pytest.mark.usefixtures("_encoders")
@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("frozen", FROZEN)
def test_frozen_layers_keep_every_bit(
    frozen: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_module, "CHUNK", 7)
    ours, theirs = twins(normalize_observations=True)
    for policy in (ours, theirs):  # moments that a frozen layer has are kept as well
        torch_update(policy, Case(policy), n_epochs=1)
        freeze(policy, *FROZEN[frozen])
    case, before = Case(ours, seed=1), snapshot(ours, *FROZEN[frozen])
    update(ours, case, compiled=compiled), torch_update(theirs, case)
    assert same(before, snapshot(ours, *FROZEN[frozen]))
    assert gap(ours, theirs) < 1e-10


@pytest.mark.usefixtures("_encoders")
@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("before_that", [0, 1])
def test_tasks_without_rows_keep_every_bit(before_that: int, compiled: bool) -> None:
    ours, theirs = twins()
    for policy in (ours, theirs):
        torch_update(policy, Case(policy), n_epochs=before_that)
    absent = [
        f"{part}.{key}"
        for key in ("choices-v0", "torques-v0")
        for part in ("actor.encoders", "critic.encoders", "action_heads", "log_stds", "value_heads")
    ]
    case, before = Case(ours, among=(CLASSES, BITS), seed=1), snapshot(ours, *absent)
    found = update(ours, case, compiled=compiled)
    torch_update(theirs, case)
    assert same(before, snapshot(ours, *absent))
    assert gap(ours, theirs) < 1e-10
    assert all(p.grad is None for n, p in ours.named_parameters() if n.startswith(tuple(absent)))
    assert found.by_task.keys() == {CLASSES, BITS}


@pytest.mark.usefixtures("_encoders")
@pytest.mark.parametrize("compiled", COMPILED)
def test_tasks_without_rows_in_a_minibatch_skip_its_step(compiled: bool) -> None:
    ours, theirs = twins()
    for seed in range(2):
        case = Case(ours, seed=seed)
        by_task = np.argsort(case.observations[:, 0], kind="stable")
        case.orders[1:] = [by_task, by_task[::-1].copy()]  # after an epoch with all of them
        update(ours, case, compiled=compiled), torch_update(theirs, case)
        assert gap(ours, theirs) < 1e-10
    steps = {float(state["step"]) for state in ours.optimizer.state.values()}
    assert len(steps) > 2


@pytest.mark.parametrize("compiled", COMPILED)
def test_tasks_that_no_step_reached_have_no_moments(compiled: bool) -> None:
    ours, theirs = twins()
    case = Case(ours)
    by_task = np.argsort(case.observations[:, 0], kind="stable")
    case.orders = [by_task[:12]]
    update(ours, case, compiled=compiled, n_epochs=1), torch_update(theirs, case, n_epochs=1)
    assert gap(ours, theirs) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_a_task_that_joins_later_has_younger_moments(compiled: bool) -> None:
    ours, theirs = twins()
    for among in ((CLASSES, CHOICES), (CLASSES, CHOICES, TORQUES, BITS)):
        case = Case(ours, among=among)
        update(ours, case, compiled=compiled), torch_update(theirs, case)
        assert gap(ours, theirs) < 1e-10
    steps = {float(state["step"]) for state in ours.optimizer.state.values()}
    assert len(steps) == 2


@pytest.mark.parametrize("compiled", COMPILED)
def test_lr_scale_equals_parameter_groups(compiled: bool) -> None:
    scales = {
        "actor.encoders.classes-v0.0.weight": 0.1,
        "critic.trunk.layers.1.0.bias": 3.0,
        "log_stds.torques-v0": 2.0,
        "action_heads.bits-v0.weight": 0.0,
        "value_heads.choices-v0.linear.bias": 0.5,
    }
    ours, theirs = twins()
    assert scales.keys() <= dict(theirs.named_parameters()).keys()
    single = theirs.optimizer.param_groups[0]
    theirs.optimizer.param_groups = [
        {**single, "params": [parameter], "lr": single["lr"] * scales.get(name, 1.0)}
        for name, parameter in theirs.named_parameters()
    ]
    case = Case(ours)
    update(ours, case, compiled=compiled, lr_scale=scales), torch_update(theirs, case)
    assert gap(ours, theirs) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_statistics_are_means_over_the_rows(compiled: bool) -> None:
    ours, theirs = twins()
    case = Case(ours)
    found = update(ours, case, compiled=compiled)
    terms = torch_update(theirs, case)
    for name in ENTRY:
        counted = terms[-4:] if name == "approx_kl" else terms
        expected = np.mean([one[name].mean() for one in counted])
        assert getattr(found.overall, name) == pytest.approx(expected, abs=1e-10), name
        for task in range(4):
            own = [one[name][one["task"] == task].mean() for one in counted]
            assert found.by_task[task][name] == pytest.approx(np.mean(own), abs=1e-10), name
    last, given = {name: terms[-1][name].mean() for name in ENTRY}, settings()
    loss = last["policy_loss"] + given.ent_coef * last["entropy_loss"]
    loss += given.vf_coef * last["value_loss"]
    assert found.overall.loss == pytest.approx(loss, abs=1e-10)
    assert (found.overall.epochs, found.overall.stopped_at) == (3, None)


@pytest.mark.parametrize("compiled", COMPILED)
def test_target_kl_ends_an_update_before_the_step(compiled: bool) -> None:
    ours, theirs = twins()
    case = Case(ours)
    first = torch_update(made(), case, n_epochs=1)
    divergences = [one["approx_kl"].mean() for one in first]
    limit = sorted(divergences)[-1] * 0.999 / 1.5
    steps = next(i for i, kl in enumerate(divergences) if kl > 1.5 * limit)
    found = update(ours, case, compiled=compiled, target_kl=limit)
    assert (found.overall.epochs, found.overall.stopped_at) == (1, 0)
    assert found.overall.kl == pytest.approx(divergences[steps], abs=1e-10)
    case.orders = [case.orders[0][: 12 * steps]]
    torch_update(theirs, case, n_epochs=1)
    assert gap(ours, theirs) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_single_precision_is_as_close_as_rounding_allows(compiled: bool) -> None:
    ours, theirs = twins(normalize_observations=True)
    case = Case(ours)
    torch_update(theirs, case)
    ours.float()
    update(ours, case, compiled=compiled)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).detach().abs().max()) < 5e-5


@pytest.mark.parametrize("compiled", COMPILED)
def test_observations_that_are_not_numbers_leave_whole_minibatches(compiled: bool) -> None:
    ours, theirs = twins()
    case = Case(ours)
    case.observations[case.orders[0][30], 1] = np.nan  # met by the third minibatch
    with pytest.raises(ValueError, match="not numbers in 1 of"):
        update(ours, case, compiled=compiled)
    case.orders = [case.orders[0][:24]]
    torch_update(theirs, case, n_epochs=1)
    assert gap(ours, theirs) < 1e-10


@pytest.mark.parametrize("compiled", COMPILED)
def test_an_interrupt_leaves_whole_minibatches(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = twins()
    case, left = Case(ours), iter(range(7))
    plain = update_module.Update._critic_losses

    def interrupted(self: Any, *args: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        plain(self, *args)

    monkeypatch.setattr(update_module.Update, "_critic_losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        update(ours, case, compiled=compiled)
    case.orders = [case.orders[0], case.orders[1][:36]]
    torch_update(theirs, case, n_epochs=2)
    assert gap(ours, theirs) < 1e-10
