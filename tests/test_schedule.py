from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule
from transfer_cases import (
    KINDS,
    SMALL,
    Inline,
    adapted,
    layer_keys,
    moments,
    same,
    source,
    tensors,
    toy,
    train,
)

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError, UnknownName
from rltransfer.layers import layer_groups
from rltransfer.recipe import Recipe
from rltransfer.training.schedule import GroupPlan, GroupScheduler, plan_groups

NEVER = math.inf


class Watch(BaseCallback):
    """Notes weights and frozen groups before each rollout, that is after each update."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: list[list[str]] = []
        self.weights: list[dict[str, torch.Tensor]] = []

    def _on_rollout_start(self) -> None:
        model: Any = self.model
        self.frozen.append(model.transfer.scheduler.frozen)
        self.weights.append(tensors(model))

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _on_step(self) -> bool:
        return True

    def moved(self, key: str) -> list[bool]:
        """Whether a tensor changed in each update."""
        pairs = zip(self.weights, self.weights[1:], strict=False)
        return [not torch.equal(before[key], after[key]) for before, after in pairs]


class Interrupt(BaseCallback):
    """Raises at a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.at:
            raise KeyboardInterrupt
        return True


FROZEN: list[tuple[str, list[str]]] = [
    ("discrete", ["trunk"]),
    ("box", ["actor.*", "critic.0"]),
    ("gsde", ["actor.std", "actor.0"]),
    ("image", ["features.0", "features.2"]),
    ("mixed", ["actor.features.*", "critic.0"]),
    ("batchnorm", ["features.0"]),
    ("batchnorm", ["features.*"]),
    ("separate", ["critic.features.*", "actor.features.0"]),
    ("maskable", ["critic.*"]),
    ("recurrent", ["actor.lstm"]),
    ("recurrent shared", ["actor.lstm", "critic.0"]),
    ("recurrent box", ["critic.input", "actor.0"]),
    ("stacked", ["*.lstm"]),
    ("named", ["actor.body"]),
]


@pytest.mark.parametrize(("kind", "freeze"), FROZEN, ids=str)
def test_frozen_is_bit_exact_and_the_rest_trains(kind: str, freeze: list[str]) -> None:
    """Weights, BatchNorm statistics and copied Adam moments, over several updates and a save."""
    recipe = Recipe(freeze=freeze, optimizer="source")
    with adapted(kind, KINDS[kind].task(flip=True), recipe) as model:
        frozen = layer_keys(model, *freeze)
        names = [name for name, _ in model.policy.named_parameters() if name in frozen]
        before, adam = tensors(model), moments(model, names)
        assert set(adam) == set(names), "the source's moments were copied"
        assert all("exp_avg" in state and state["step"] > 0 for state in adam.values())
        model.learn(96)
        model.save(io.BytesIO())
        model.learn(32, reset_num_timesteps=False)
        unchanged = same(before, tensors(model))
        assert frozen <= unchanged
        trains = {n for n, p in model.policy.named_parameters() if p.requires_grad}
        assert trains.isdisjoint(names) and trains.isdisjoint(unchanged)
        after = moments(model, names)
        for name in names:
            assert same(adam[name], after[name]) == set(adam[name]), name
        assert all(dict(model.policy.named_parameters())[name].grad is None for name in names)


def test_a_stale_gradient_is_dropped_when_a_layer_freezes() -> None:
    """It would count in the clipped norm, and Adam would go on using it."""
    policy = source("discrete").build().policy
    sum(p.square().sum() for p in policy.parameters()).backward()
    groups = layer_groups(policy)
    scheduler = GroupScheduler(policy, groups, plan_groups(groups, Recipe(freeze=["trunk"])))
    assert scheduler.frozen == ["actor.0", "critic.0", "actor.1", "critic.1"]
    assert policy.action_net.weight.grad is not None
    assert all(p.grad is None for p in policy.mlp_extractor.parameters())


def test_batchnorm_that_is_not_frozen_does_move() -> None:
    """The counterpart: without a freeze the same buffers change, so the test above can fail."""
    with adapted("batchnorm", KINDS["batchnorm"].task(), Recipe(freeze=["actor.*"])) as model:
        before = tensors(model)
        model.learn(32)
        changed = set(before) - same(before, tensors(model))
        assert "features_extractor.net.1.running_mean" in changed
        assert "features_extractor.net.1.num_batches_tracked" in changed


def _inline() -> Agent:
    kwargs = {**SMALL, "features_extractor_class": Inline}
    return train(toy(), 32, policy_kwargs=kwargs)


@pytest.mark.parametrize("kind", ["batchnorm", "separate", "inline", "stacked"])
def test_ratio_is_one_with_frozen_dropout(kind: str) -> None:
    """With learning rate 0, nothing but an active Dropout or BatchNorm could change the policy."""
    agent = _inline() if kind == "inline" else source(kind)
    freeze = ["*.lstm"] if kind == "stacked" else ["*features.*"]
    with adapted(agent, toy(), Recipe(freeze=freeze), learning_rate=0.0) as model:
        model.learn(32)
        logged = model.logger.name_to_value
        assert logged["train/clip_fraction"] == 0
        assert abs(logged["train/approx_kl"]) < 1e-6


@pytest.mark.parametrize("kind", ["batchnorm", "inline", "stacked"])
def test_ratio_is_not_one_with_live_dropout(kind: str) -> None:
    """The counterpart, and what it looks like after thawing."""
    agent = _inline() if kind == "inline" else source(kind)
    freeze = ["*.lstm"] if kind == "stacked" else ["*features.*"]
    recipe = Recipe(freeze=freeze, thaw={freeze[0]: 0.5})
    with adapted(agent, toy(), recipe, learning_rate=0.0) as model:
        model.learn(32)
        assert model.transfer.scheduler.frozen == []
        assert abs(model.logger.name_to_value["train/approx_kl"]) > 1e-6


def test_dropout_of_a_frozen_lstm_comes_back_when_it_thaws() -> None:
    with adapted("stacked", toy(), Recipe(freeze=["*.lstm"], thaw={"*.lstm": 0.9})) as model:
        assert model.policy.lstm_actor.dropout == 0.0
        model.learn(32)
        assert model.policy.lstm_actor.dropout == 0.3


@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_group_thaws_at_the_asked_fraction(at: float) -> None:
    """Ten rollouts: the update after rollout k, at progress k / 10, is the first that trains it."""
    recipe = Recipe(freeze=["actor.0"], thaw={"actor.0": at})
    with adapted("discrete", toy(flip=True), recipe, n_epochs=1) as model:
        watch = Watch()
        model.learn(320, callback=watch)
        first = round(at * 10)
        expected = [update >= first for update in range(1, 11)]
        assert watch.moved("mlp_extractor.policy_net.0.weight") == expected
        assert watch.moved("action_net.weight") == [True] * 10
        assert [frozen == ["actor.0"] for frozen in watch.frozen[1:]] == [not e for e in expected]


def test_top_down_and_bottom_up_thaw_layer_by_layer() -> None:
    groups = layer_groups(source("uneven").build().policy)
    down = plan_groups(groups, Recipe(freeze=["trunk"], thaw="top_down", thaw_by=0.6))
    assert {name: round(plan.trains_from, 9) for name, plan in down.items()} == {
        **{"actor.0": 0.2, "critic.2": 0.2, "critic.1": 0.4, "critic.0": 0.6},
        **{"actor.head": 0, "critic.head": 0},
    }
    up = plan_groups(groups, Recipe(freeze=["trunk"], thaw="bottom_up", thaw_by=0.6))
    assert round(up["critic.0"].trains_from, 9) == 0.2
    assert round(up["actor.0"].trains_from, 9) == 0.6


def test_thawing_latches() -> None:
    """A second learn starts its progress at 0, and still nothing is frozen again."""
    recipe = Recipe(freeze=["trunk"], thaw={"actor.*": 0.4, "critic.*": 0.8})
    with adapted("discrete", toy(flip=True), recipe) as model:
        model.learn(64)  # two rollouts: progress 0.5, then 1.0
        assert model.transfer.scheduler.frozen == []
        watch = Watch()
        model.learn(96, callback=watch)
        assert watch.frozen == [[]] * 4
        assert all(watch.moved("mlp_extractor.policy_net.0.weight"))
        assert all(parameter.requires_grad for parameter in model.policy.parameters())


def test_an_interrupted_learn_goes_on_where_the_freezing_was() -> None:
    recipe = Recipe(freeze=["trunk"], thaw={"actor.*": 0.2, "critic.*": 0.9})
    with adapted("discrete", toy(flip=True), recipe) as model:
        with pytest.raises(KeyboardInterrupt):
            model.learn(160, callback=Interrupt(70))
        assert model.transfer.scheduler.frozen == ["critic.0", "critic.1"]
        critic = {key: value for key, value in tensors(model).items() if "value_net.0" in key}
        watch = Watch()
        model.learn(320, callback=watch)
        assert watch.frozen[:9] == [["critic.0", "critic.1"]] * 9
        assert all(torch.equal(watch.weights[8][key], value) for key, value in critic.items())
        assert watch.frozen[-1] == []


RATES: list[tuple[str, dict[str, Any], dict[str, float]]] = [
    ("discrete", {}, {"actor.0": 1, "critic.head": 1}),
    (
        "discrete",
        {"lr_decay": 0.5},
        {"actor.head": 1, "actor.1": 0.5, "actor.0": 0.25, "critic.0": 0.25},
    ),
    (
        "box",
        {"lr_decay": 0.5, "lr_scale": {"actor.0": 0.4, "actor.*": 3}},
        {"actor.0": 0.1, "actor.1": 1.5, "actor.head": 3, "actor.std": 3, "critic.head": 1},
    ),
    ("recurrent", {"lr_decay": 0.1}, {"actor.lstm": 0.01, "critic.0": 0.1, "actor.head": 1}),
    ("image", {"lr_decay": 0.5}, {"features.0": 1 / 16, "features.3": 0.5, "critic.head": 1}),
    ("maskable", {"lr_scale": {"critic.*": 4}}, {"critic.1": 4, "actor.1": 1}),
]


@pytest.mark.parametrize(("kind", "fields", "expected"), RATES, ids=str)
def test_learning_rates_are_really_as_asked(
    kind: str, fields: dict[str, Any], expected: dict[str, float]
) -> None:
    """The first step of Adam is the learning rate, wherever the gradient is not tiny."""
    rate, size = 1e-3, 32
    recipe = Recipe(**fields)
    options = {"learning_rate": rate, "n_epochs": 1, "batch_size": size, "max_grad_norm": 1e9}
    with adapted(kind, KINDS[kind].task(flip=True), recipe, **options) as model:
        groups, before = layer_groups(model.policy), tensors(model)
        model.learn(32)
        after = tensors(model)
        for name, scale in expected.items():
            step = max(float((after[k] - before[k]).abs().max()) for k in groups[name].keys)
            assert step == pytest.approx(rate * scale, rel=0.02), name
            logged = model.logger.name_to_value[f"transfer/lr/{name}"]
            assert logged == pytest.approx(rate * scale)


def test_rates_follow_the_schedule() -> None:
    schedule = LinearSchedule(1e-2, 0.0, 1.0)
    options = {"n_epochs": 1, "batch_size": 32, "max_grad_norm": 1e9, "learning_rate": schedule}
    with adapted("discrete", toy(), Recipe(lr_scale={"actor.head": 0.5}), **options) as model:
        model.learn(64)  # the first update at half of the budget, the second at its end
        assert model.logger.name_to_value["transfer/lr/actor.head"] == 0
        assert model.policy.optimizer.param_groups[0]["lr"] == 0


def test_the_optimizer_has_one_group_outside_its_step() -> None:
    seen: list[int] = []
    with adapted("discrete", toy(), "discriminative") as model:
        optimizer = model.policy.optimizer
        order = [id(p) for p in optimizer.param_groups[0]["params"]]
        optimizer.register_step_pre_hook(lambda o, a, k: seen.append(len(o.param_groups)))
        model.learn(32)
        assert set(seen) == {3}, "one group for each of three rates, while it steps"
        assert len(optimizer.param_groups) == 1
        assert [id(p) for p in optimizer.param_groups[0]["params"]] == order
        assert set(optimizer.state_dict()["state"]) == set(range(len(order)))


def test_an_error_within_a_step_leaves_the_model_savable(tmp_path: Any) -> None:
    """The zip must hold one group, or plain PPO could not load it."""

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle of a step")

    with adapted("discrete", toy(), "discriminative") as model:
        hook = model.policy.optimizer.register_step_pre_hook(fail)
        with pytest.raises(RuntimeError, match="middle of a step"):
            model.learn(32)
        assert len(model.policy.optimizer.param_groups) == 1
        model.save(tmp_path / "after.zip")
        plain = PPO.load(tmp_path / "after.zip", device="cpu")
        assert len(plain.policy.optimizer.param_groups) == 1
        assert same(plain.policy.state_dict(), tensors(model)) == set(tensors(model))
        hook.remove()
        model.learn(32)
        assert model.num_timesteps == 32


def test_a_plan_survives_json_with_patterns_in_any_order() -> None:
    groups = layer_groups(source("discrete").build().policy)
    made = Recipe(freeze=["trunk"], thaw={"actor.1": 0.2, "actor.*": 0.9})
    again = Recipe.from_dict(json.loads(made.to_json()))
    assert plan_groups(groups, again) == plan_groups(groups, made)
    assert plan_groups(groups, made)["actor.0"] == GroupPlan(trains_from=0.9)
    assert plan_groups(groups, made)["actor.1"] == GroupPlan(trains_from=0.2)
    assert plan_groups(groups, made)["actor.head"] == GroupPlan()
    assert plan_groups(groups, made)["critic.0"].trains_from == NEVER


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"freeze": ["actor.9"]}, UnknownName, r"no layer group is named 'actor\.9'"),
    ({"freeze": ["trunk"], "thaw": {"actr.0": 0.5}}, UnknownName, r"Did you mean 'actor\.0'"),
    ({"lr_scale": {"actor.*": 0.5, "heads": 2}}, RecipeError, r"'actor\.head' several values"),
    ({"lr_scale": {"hedas": 0.5}}, UnknownName, "Did you mean 'heads'"),
    ({"reset": ["criticc.head"]}, UnknownName, r"Did you mean 'critic\.head'"),
    ({"freeze": ["*"]}, RecipeError, "every layer group is frozen at the start"),
    ({"freeze": ["*"], "thaw": "top_down"}, RecipeError, "frozen at the start"),
    (
        {"freeze": ["actor.0"], "thaw": {"actor.1": 0.5}},
        RecipeError,
        "not frozen: add it to freeze",
    ),
    ({"freeze": ["trunk"], "thaw": {"heads": 0.5}}, RecipeError, "'heads', which is not frozen"),
    ({"freeze": ["trunk"], "thaw": {"*.0": 0.5, "actor.*": 0.1}}, RecipeError, "several values"),
    ({"freeze": ["trunk"], "lr_scale": {"*.0": 0.1}}, RecipeError, r"'\*\.0', which never trains"),
    ({"freeze": ["trunk"], "reset": ["actor.0"]}, RecipeError, "starts fresh and never trains"),
    ({"freeze": ["critic.*"], "critic": "reset"}, RecipeError, "starts fresh and never trains"),
]


@pytest.mark.parametrize(("fields", "error", "message"), REFUSED, ids=str)
def test_recipes_that_contradict_the_policy_are_refused(
    fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), adapted("discrete", toy(), Recipe(**fields)):
        pass


def test_what_looks_contradictory_but_is_not() -> None:
    groups = layer_groups(source("box").build().policy)
    slow = plan_groups(groups, Recipe(freeze=["actor.0"], lr_scale={"actor.*": 0.5}))
    assert slow["actor.1"].lr_scale == 0.5
    fixed = plan_groups(groups, Recipe(freeze=["actor.std"], reset=["actor.std"]))
    assert fixed["actor.std"].trains_from == NEVER
    later = Recipe(freeze=["trunk"], reset=["actor.0"], thaw={"actor.0": 0.1})
    assert plan_groups(groups, later)["actor.0"].trains_from == 0.1


def test_the_cure_for_a_fresh_layer_that_never_trains_works() -> None:
    with pytest.raises(RecipeError, match=r"add '!actor\.0' to freeze"):
        adapted("discrete", toy(), Recipe(freeze=["trunk"], reset=["actor.0"])).__enter__()
    recipe = Recipe(freeze=["trunk", "!actor.0"], reset=["actor.0"])
    with adapted("discrete", toy(), recipe) as model:
        assert model.transfer.scheduler.frozen == ["critic.0", "actor.1", "critic.1"]


def test_trainable_parameters_are_counted_and_logged() -> None:
    with adapted("discrete", toy(), "head") as model:
        heads = 8 * 2 + 2 + 8 + 1
        assert model.transfer.scheduler.trainable == heads
        model.learn(32)
        assert model.logger.name_to_value["transfer/trainable_params"] == heads
        assert model.logger.name_to_value["transfer/lr/actor.0"] == 0
        assert model.logger.name_to_value["transfer/drift/actor.0"] == 0
        assert model.logger.name_to_value["transfer/drift/actor.head"] > 0
