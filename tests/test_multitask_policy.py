"""A policy for many tasks computes for each what a policy of that task alone would."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from policy_twins import (
    OBSERVATIONS,
    SIZES,
    WIDTH,
    Mixed,
    by_twin,
    every_kind,
    masked,
    observed,
    pairs,
    policy_of,
    task,
    twin_of,
)
from torch import Tensor

from rltransfer.engine.autograd.loss import ppo_loss
from rltransfer.engine.autograd.minibatches import Minibatch
from rltransfer.engine.records import Settings
from rltransfer.errors import BadArgument, SpaceMismatch, UnknownName
from rltransfer.layers import layer_groups
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.packing import Packing

COUNTS = (7, 4, 9, 1, 6, 3)
CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1e-10}
SETTINGS = Settings(
    batch_size=64,
    n_epochs=1,
    clip_range=0.2,
    clip_range_vf=None,
    normalize_advantage=False,
    ent_coef=0.01,
    vf_coef=0.5,
    max_grad_norm=0.5,
    target_kl=None,
    learning_rate=1e-3,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def assert_close(ours: Tensor, its: Tensor) -> None:
    torch.testing.assert_close(ours.detach(), its.detach(), **CLOSE)


def loss(evaluated: Any, rest: dict[str, Tensor], rows: Any) -> Tensor:
    """PPO's loss on some rows; what the rollout knew is in ``rest``."""
    values, log_prob, entropy = evaluated
    batch = Minibatch(
        observations=None,
        activations=None,
        actions=torch.empty(0),
        **{name: numbers[rows] for name, numbers in rest.items()},
    )
    return ppo_loss(values, log_prob, entropy, batch, SETTINGS).total


def rollout(count: int, log_prob: Tensor) -> dict[str, Tensor]:
    """Numbers of a rollout whose ratios lie on both sides of the clipping."""
    return {
        "old_log_prob": log_prob.detach() + 0.3 * torch.randn(count).double(),
        "old_values": torch.randn(count).double(),
        "advantages": torch.randn(count).double(),
        "returns": torch.randn(count).double(),
    }


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("counts", [COUNTS, (0, 0, 1, 0, 0, 0), (2, 0, 0, 5, 0, 1)])
def test_equals_a_policy_per_task(counts: tuple[int, ...], share: bool) -> None:
    policy = policy_of(every_kind(), share_critic=share)
    mixed = Mixed(policy, counts)
    values, log_prob, entropy = policy.evaluate_actions(mixed.observations, mixed.actions)
    predicted = policy.predict_values(mixed.observations)
    assert values.shape == predicted.shape == (sum(counts), 1)
    for index, rows in enumerate(mixed.rows):
        if not len(rows):
            continue
        expected = by_twin(policy, mixed, index, twin_of(policy, index))
        for ours, its in zip((values[:, 0], log_prob, entropy), expected, strict=True):
            assert_close(ours[rows], its)
        assert_close(predicted[rows, 0], expected[0])


@pytest.mark.parametrize("counts", [COUNTS, (2, 0, 0, 5, 0, 1)])
def test_gradients_are_those_of_the_policies_together(counts: tuple[int, ...]) -> None:
    policy = policy_of(every_kind())
    mixed = Mixed(policy, counts)
    values, log_prob, entropy = policy.evaluate_actions(mixed.observations, mixed.actions)
    count = sum(counts)
    rest = rollout(count, log_prob)
    loss((values, log_prob, entropy), rest, slice(None)).backward()
    expected = {id(parameter): torch.zeros_like(parameter) for parameter in policy.parameters()}
    for index, rows in enumerate(mixed.rows):
        if len(rows):
            twin = twin_of(policy, index)
            part = loss(by_twin(policy, mixed, index, twin), rest, rows)
            (part * len(rows) / count).backward()
            for ours, its in pairs(policy, index, twin):
                expected[id(ours)] += its.grad
    norms = {}
    for name, parameter in policy.named_parameters():
        wanted = expected[id(parameter)]
        given = torch.zeros_like(wanted) if parameter.grad is None else parameter.grad
        assert_close(given, wanted)
        norms[name] = wanted.norm().item()
    trunk = [norm for name, norm in norms.items() if ".trunk." in name]
    assert min(trunk) > 1e-6


def test_tasks_that_are_absent_get_no_gradient() -> None:
    policy = policy_of(every_kind())
    mixed = Mixed(policy, (3, 0, 0, 0, 0, 0))
    _, log_prob, _ = policy.evaluate_actions(mixed.observations, mixed.actions)
    log_prob.sum().backward()
    touched = {n for n, p in policy.named_parameters() if p.grad is not None}
    assert {n for n in touched if "encoders" in n} == {
        "actor.encoders.a/vector-v0.0.weight",
        "actor.encoders.a/vector-v0.0.bias",
    }


def test_the_order_of_rows_says_nothing() -> None:
    policy = policy_of(every_kind())
    mixed = Mixed(policy, COUNTS)
    order = torch.argsort(mixed.observations[:, 0], stable=True)
    assert not torch.equal(order, torch.arange(len(order)))
    as_given = policy.evaluate_actions(mixed.observations, mixed.actions)
    in_order = policy.evaluate_actions(mixed.observations[order], mixed.actions[order])
    for given, ordered in zip(as_given, in_order, strict=True):
        assert torch.equal(given[order], ordered)
    torch.manual_seed(5)
    drawn = policy(mixed.observations)
    torch.manual_seed(5)
    drawn_in_order = policy(mixed.observations[order])
    for given, ordered in zip(drawn, drawn_in_order, strict=True):
        assert torch.equal(given[order], ordered)


def test_rows_are_independent() -> None:
    policy = policy_of(every_kind())
    mixed = Mixed(policy, COUNTS)
    together = policy.evaluate_actions(mixed.observations, mixed.actions)
    for row in range(sum(COUNTS)):
        one = slice(row, row + 1)
        alone = policy.evaluate_actions(mixed.observations[one], mixed.actions[one])
        for whole, single in zip(together, alone, strict=True):
            assert_close(whole[one], single)


def test_acting_and_evaluating_agree() -> None:
    policy = policy_of(every_kind())
    mixed = Mixed(policy, COUNTS)
    actions, values, log_prob = policy(mixed.observations)
    evaluated = policy.evaluate_actions(mixed.observations, actions)
    assert_close(evaluated[0], values)
    assert_close(evaluated[1], log_prob)
    for index, rows in enumerate(mixed.rows):
        size = mixed.own[index][1].shape[1]
        assert not actions[rows, size:].any()
    best, *_ = policy(mixed.observations, deterministic=True)
    assert torch.equal(best, policy._predict(mixed.observations, deterministic=True))
    for index, rows in enumerate(mixed.rows):
        found = policy.act(policy.tasks[index].id, mixed.own[index][0], deterministic=True)
        packed = policy.packing.actions(index, best[rows].detach().numpy())
        assert np.array_equal(found, packed)
        assert all(policy.tasks[index].action_space.contains(one) for one in found)


def test_the_mode_is_the_most_likely_action() -> None:
    tasks = [task("a", "vector", "discrete"), task("b", "vector", "multidiscrete")]
    policy = policy_of(tasks)
    mixed = Mixed(policy, (20, 20))
    best, *_ = policy(mixed.observations, deterministic=True)
    _, most, _ = policy.evaluate_actions(mixed.observations, best)
    for choice in product(range(2), range(3)):
        other = torch.tensor(choice).double().expand(40, -1).clone()
        first = mixed.rows[0]
        other[first] = torch.tensor([choice[1], 0]).double()  # the first task's has one part of 3
        _, log_prob, _ = policy.evaluate_actions(mixed.observations, other)
        assert (log_prob <= most + 1e-12).all()


def test_samples_have_their_distribution() -> None:
    policy = policy_of(every_kind()[:4])
    mixed = Mixed(policy, (1, 1, 1, 1), shuffle=False)
    count = 20_000
    actions, *_ = policy(mixed.observations.repeat(count, 1))
    drawn = actions.reshape(count, 4, -1).detach()
    for row, choices in ((0, [(0,), (1,), (2,)]), (1, [*product(range(2), range(3))]),
                         (2, [*product(range(2), repeat=3)])):  # fmt: skip
        for choice in choices:
            given = torch.zeros(4, drawn.shape[2]).double()
            given[row, : len(choice)] = torch.tensor(choice).double()
            _, log_prob, _ = policy.evaluate_actions(mixed.observations, given)
            expected = log_prob[row].exp().item()
            matches = (drawn[:, row, : len(choice)] == torch.tensor(choice)).all(1)
            error = math.sqrt(expected * (1 - expected) / count)
            assert matches.double().mean().item() == pytest.approx(expected, abs=5 * error)
    mean, *_ = policy(mixed.observations, deterministic=True)
    std = policy.log_stds["a/class-v0"].exp()
    numbers = (drawn[:, 3, :2] - mean[3, :2]) / std
    torch.testing.assert_close(numbers.mean(0), torch.zeros(2).double(), rtol=0, atol=0.04)
    torch.testing.assert_close(numbers.std(0), torch.ones(2).double(), rtol=0, atol=0.03)


def test_noise_is_correlated_in_time_and_of_unit_variance() -> None:
    tasks = [task("a", "vector", "box", noise=0.8, log_std=-0.7), task("b", "vector", "box")]
    policy = policy_of(tasks)
    rows, steps = 400, 200
    mixed = Mixed(policy, (1, 1), shuffle=False)
    batch = mixed.observations.repeat_interleave(rows, 0)
    mean, *_ = policy(batch, deterministic=True)
    std = torch.stack([policy.log_stds[name].exp() for name in "ab"]).repeat_interleave(rows, 0)
    noise = torch.stack([(policy(batch)[0] - mean) / std for _ in range(steps)]).detach()
    for part, correlation in ((noise[:, :rows], 0.8), (noise[:, rows:], 0.0)):
        # Every step, the first too, has the same marginal distribution.
        assert part.std().item() == pytest.approx(1, abs=0.02)
        assert part[0].std().item() == pytest.approx(1, abs=0.12)
        for lag in (1, 3):
            found = (part[lag:] * part[:-lag]).mean().item() / part.square().mean().item()
            assert found == pytest.approx(correlation**lag, abs=0.02)
        across = (part[:, 1:] * part[:, :-1]).mean().item()
        assert across == pytest.approx(0, abs=0.02)
    policy.reset_noise()
    fresh = ((policy(batch)[0] - mean) / std).detach()
    assert (fresh * noise[-1])[:rows].mean().item() == pytest.approx(0, abs=0.15)
    # Evaluation does not move the streams, and has white noise.
    before = policy.noise["a"]._last.copy()
    policy._predict(batch)
    assert np.array_equal(policy.noise["a"]._last, before)


def test_numbers_of_observations_reach_the_encoder_as_they_are() -> None:
    tasks = [task("a/dict", "dict", "discrete"), task("a/class", "class", "discrete")]
    policy = policy_of(tasks, conditioning="one-hot", normalize_observations=True)
    mixed = Mixed(policy, (5, 4), shuffle=False)
    seen = mixed.own[0][0]
    encoder: Any = policy.actor.encoders["a/dict"]
    encoders = dict(zip(seen, encoder.parts, strict=True))
    vector, code = encoders["v"], encoders["c"]
    codes = torch.nn.functional.one_hot(torch.from_numpy(seen["c"]), 3).double()
    parts = {"v": vector(torch.from_numpy(seen["v"]).double()),
             "c": code.activation(code.linear(codes))}  # fmt: skip
    joined = torch.cat([parts[key] for key in seen], 1)
    encoded = torch.tanh(encoder.linear(joined))
    told = torch.tensor([[1.0, 0.0]]).double().expand(5, 2)
    features = torch.tanh(policy.actor.trunk.layers[0][0](torch.cat([encoded, told], 1)))
    features = torch.tanh(policy.actor.trunk.layers[1][0](features))
    logits = policy.action_heads["a/dict"](features).log_softmax(1)
    _, log_prob, _ = policy.evaluate_actions(mixed.observations, mixed.actions)
    assert_close(log_prob[:5], logits.gather(1, mixed.actions[:5, :1].long())[:, 0])
    assert not len(policy.observation_stats)  # neither is a plain vector


@pytest.mark.parametrize("kind", ["auto", "grid"])
def test_grids_are_read_cell_by_cell(kind: str) -> None:
    policy = policy_of([task("a/grid", "grid", "discrete")], encoder_kind=kind)
    seen = observed(policy.tasks[0], 3) % 10  # as MiniGrid has them
    encoder: Any = policy.actor.encoders["a/grid"]
    grids = torch.from_numpy(seen).double().permute(0, 3, 1, 2) / 10
    convolved = encoder.convolutions(grids)
    assert convolved.shape == (3, 64, 4, 4)
    packed = torch.from_numpy(policy.packing.observations(0, seen))
    assert_close(encoder(packed[:, 1:].double()), torch.tanh(encoder.linear(convolved.flatten(1))))
    other = seen.copy()
    other[0, 6, 6, 2] += 5
    assert not torch.equal(
        policy.predict_values(packed),
        policy.predict_values(torch.from_numpy(policy.packing.observations(0, other))),
    )


@pytest.mark.parametrize("index", range(4))
def test_masks_equal_those_of_maskable_ppo(index: int) -> None:
    policy = policy_of(masked())
    mixed = Mixed(policy, (9, 8, 7, 5))
    twin = twin_of(policy, index)
    rows = mixed.rows[index]
    expected = by_twin(policy, mixed, index, twin)
    found = policy.evaluate_actions(mixed.observations, mixed.actions)
    for ours, its in zip((found[0][:, 0], *found[1:]), expected, strict=True):
        assert_close(ours[rows], its)
    if policy.tasks[index].masked:
        unmasked = mixed.observations.clone()
        size = policy.packing.sizes[index]
        unmasked[rows, 1 + size : 1 + size + policy.packing.masks[index]] = 1
        other = policy.evaluate_actions(unmasked, mixed.actions)
        assert (other[1] - found[1])[rows].abs().max() > 0.1


def test_masked_actions_are_never_drawn() -> None:
    policy = policy_of(masked())
    mixed = Mixed(policy, (40, 40, 40, 1))
    for _ in range(20):
        actions = policy(mixed.observations)[0].detach().numpy()
        for index in range(3):
            space: Any = policy.tasks[index].action_space
            widths = {0: [3], 1: [2, 3], 2: [2, 2, 2]}[index]
            starts = np.cumsum([0, *widths[:-1]])
            masks = mixed.own[index][2]
            own = actions[mixed.rows[index], : len(widths)].astype(int)
            assert np.take_along_axis(masks, starts + own, 1).all(), space


@pytest.mark.parametrize("wrong", [6.0, -1.0, 0.5, math.nan])
def test_rows_of_no_task_are_refused(wrong: float) -> None:
    policy = policy_of(every_kind())
    observations = Mixed(policy, COUNTS).observations
    observations[4, 0] = wrong
    for call in (policy.forward, policy.predict_values, policy._predict):
        with pytest.raises(BadArgument, match=r"0 \(a/vector-v0\).*policy\.act"):
            call(observations)
    with pytest.raises(BadArgument, match="begins with"):
        policy.predict(observations.numpy())


def test_a_wrong_id_is_refused_with_a_suggestion() -> None:
    policy = policy_of(every_kind())
    with pytest.raises(UnknownName, match="Did you mean 'a/vector-v0'"):
        policy.act("a/vektor-v0", np.zeros((1, 5)))
    with pytest.raises(BadArgument, match="masks"):
        policy_of(masked()).act("a/one-v0", np.zeros((1, 5)))
    with pytest.raises(BadArgument, match="for_task"):
        policy.get_distribution(torch.zeros(1, 5))


def test_observations_of_another_space_are_refused() -> None:
    policy = policy_of(every_kind())
    for wrong in (np.zeros((3, 4)), np.zeros(5), np.zeros((2, 5, 1))):
        with pytest.raises(SpaceMismatch, match=r"a/vector-v0.*\(5,\)"):
            policy.act("a/vector-v0", wrong)
    with pytest.raises(SpaceMismatch, match="a/vector-v0"):
        policy.act("a/vector-v0", {"v": np.zeros((1, 5))})
    parts = policy_of([task("a/dict-v0", "dict", "discrete")])
    for odd in (np.zeros((1, 6)), {"v": np.zeros((1, 3))}):
        with pytest.raises(SpaceMismatch, match="a dict of arrays with the keys 'c', 'v'"):
            parts.act("a/dict-v0", odd)
    with pytest.raises(BadArgument, match="use encoder_kind='auto'"):
        policy_of([task("a/dict-v0", "dict", "discrete")], encoder_kind="grid")


def test_spaces_that_are_not_those_of_the_tasks_are_refused() -> None:
    tasks = every_kind()
    packing = Packing(tasks)
    wide = spaces.Box(-np.inf, np.inf, (packing.width + 1,), np.float32)
    for given in ((wide, packing.action_space), (packing.observation_space, spaces.Discrete(2))):
        with pytest.raises(SpaceMismatch, match="MultiTaskVecEnv"):
            MultiTaskPolicy(*given, lambda _: 1e-3, tasks=tasks)


@pytest.mark.parametrize("trunk", ["mlp", "soft_modular", "moore"])
@pytest.mark.parametrize("conditioning", ["one-hot", "embedding", "sentence"])
@pytest.mark.parametrize("share", [False, True])
def test_layer_groups_name_every_tensor(trunk: str, conditioning: str, share: bool) -> None:
    tasks = [
        task("a/x-v0.1", "vector", "box", encoder="eye"),
        task("b", "vector", "box", encoder="eye", head="arm"),
        task("c", "class", "discrete"),
    ]
    vectors = {"vectors": np.eye(3).tolist()} if conditioning == "sentence" else {}
    policy = policy_of(
        tasks,
        trunk=trunk,
        trunk_kwargs={},
        conditioning=conditioning,
        conditioning_kwargs=vectors,
        share_critic=share,
        normalize_observations=True,
    )
    groups = layer_groups(policy)  # refuses tensors of no group, or of two
    expected = {"encoder.eye", "encoder.c", *(["context"] if conditioning != "one-hot" else [])}
    expected |= {f"trunk.{i}" for i in range(len(policy.actor.trunk.layers))}
    expected |= {"actor.std.a/x-v0_1", "actor.std.arm"}
    expected |= {f"actor.head.{name}" for name in ("a/x-v0_1", "arm", "c")}
    expected |= {f"critic.head.{name}" for name in ("a/x-v0_1", "b", "c")}
    assert set(groups) == expected
    assert "observation_stats.eye.mean" in groups["encoder.eye"].keys
    streams = {key.split(".")[0] for key in groups["encoder.c"].keys}
    assert streams == {"actor", "critic"}
    assert len(groups["encoder.c"].parameters) == (2 if share else 4)


def test_shared_encoders_and_heads_are_one() -> None:
    tasks = [task(id, "vector", "box", encoder="eye", head="arm", gamma=0.9) for id in "ab"]
    policy = policy_of(tasks)
    seen = np.ones((1, 5), np.float32)
    assert np.array_equal(policy.act("a", seen), policy.act("b", seen))
    told = policy_of(tasks, conditioning="embedding")
    assert not np.array_equal(told.act("a", seen), told.act("b", seen))
    with pytest.raises(SpaceMismatch, match="share the encoder 'eye'"):
        policy_of([*tasks, task("c", "matrix", "discrete", encoder="eye")])


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    policy = policy_of(every_kind(), conditioning="embedding", normalize_observations=True).float()
    policy.value_heads["a/vector-v0"].update(torch.tensor([3.0, 8.0]), beta=1.0)
    policy.observation_stats["a/vector-v0"].update(np.random.randn(9, 5))
    policy.save(str(tmp_path / "policy"))
    loaded = MultiTaskPolicy.load(str(tmp_path / "policy"))
    assert [one.to_dict() for one in loaded.tasks] == [one.to_dict() for one in policy.tasks]
    mixed = Mixed(policy, COUNTS)
    given = mixed.observations, mixed.actions.float()
    for ours, its in zip(policy.evaluate_actions(*given), loaded.evaluate_actions(*given),
                         strict=True):  # fmt: skip
        assert torch.equal(ours, its)
    assert layer_groups(loaded).keys() == layer_groups(policy).keys()


def test_normalized_values_are_those_of_the_heads() -> None:
    policy = policy_of(every_kind())
    mixed = Mixed(policy, COUNTS)
    given = mixed.observations, mixed.actions
    before = policy.evaluate_actions(*given)
    for index, one in enumerate(policy.tasks):
        head: Any = policy.value_heads[one.key]
        head.update(torch.randn(50).double() * 10**index + index, beta=1.0)
    values, log_prob, _ = policy.evaluate_actions(*given)
    assert_close(values, before[0])  # PopArt moved the units, not the values
    normalized, same, _ = policy.evaluate_normalized(*given)
    assert torch.equal(same, log_prob)
    for index, rows in enumerate(mixed.rows):
        head = policy.value_heads[policy.tasks[index].key]
        assert_close(head.mean + head.std * normalized[rows], values[rows, 0])


def test_a_task_alone_is_an_ordinary_policy() -> None:
    policy = policy_of([task("a", "vector", "box")])
    assert policy.packing.observation_space.shape == (6,)
    mixed = Mixed(policy, (8,))
    expected = by_twin(policy, mixed, 0, twin_of(policy, 0))
    found = policy.evaluate_actions(mixed.observations, mixed.actions)
    assert_close(found[1][mixed.rows[0]], expected[1])
    assert OBSERVATIONS["vector"].shape == (5,)
    assert (WIDTH, *SIZES) == (6, 5, 4)
