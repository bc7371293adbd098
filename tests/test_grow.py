"""Corrections, second columns and changes of low rank."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from stable_baselines3 import PPO
from torch import Tensor

import rltransfer as rlt
from rltransfer.errors import RecipeError
from rltransfer.experiments.finetuning import finetune
from rltransfer.experiments.run import close
from rltransfer.growing import grown
from rltransfer.methods import L2SP, LoRA, Progressive, Residual
from rltransfer.recipe import Recipe
from tests.transfer_cases import (
    KINDS,
    adapted,
    assert_same_outputs,
    outputs,
    samples,
    source,
    tensors,
    toy,
)

WIDENING = (Residual(width=6), Progressive(width=6))
GROWING = (*WIDENING, LoRA(rank=2))
PLAIN = ("discrete", "box", "multidiscrete", "multibinary", "normalized", "uneven", "relu", "dict")
FRONTED = ("mixed", "batchnorm", "separate")
FIRST, SECOND = "mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2"


def _recipe(method: Any, **fields: Any) -> Recipe:
    return Recipe(grow=method, **fields)


@pytest.mark.parametrize("method", GROWING, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", PLAIN)
def test_training_begins_with_what_the_source_does(kind: str, method: Any) -> None:
    seen = samples(source(kind).observation_space)
    with (
        adapted(kind, KINDS[kind].task()) as plain,
        adapted(kind, KINDS[kind].task(), _recipe(method)) as model,
    ):
        assert_same_outputs(outputs(model, seen), outputs(plain, seen), atol=1e-6)
        model.learn(64)
        after = outputs(model, seen)
        assert not all(torch.allclose(v, after[k]) for k, v in outputs(plain, seen).items())


def test_a_correction_is_added_to_the_source_s_outputs() -> None:
    """The wide network against the two narrow ones, computed apart."""
    agent = source("relu")
    wide = grown(agent, Residual(width=6), seed=0).agent.weights
    head = torch.randn(2, 6)
    wide["action_net.weight"][:, 8:] = head  # type: ignore[index]
    new = {
        key: value[8:, -6:] if value.dim() == 2 and key != f"{FIRST}.weight" else value[8:]
        for key, value in wide.items()
        if "policy_net" in key
    }
    seen = torch.randn(5, 4)
    expected = _mlp(agent.weights, seen) @ agent.weights["action_net.weight"].T
    expected = expected + _mlp(new, seen) @ head.T
    found = _mlp(wide, seen) @ wide["action_net.weight"].T
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_second_column_reads_the_first_one_at_every_layer() -> None:
    """Against equation 1 of Rusu et al. 2016."""
    agent = source("relu")
    wide = grown(agent, Progressive(width=6), seed=0).agent.weights
    seen = torch.randn(5, 4)
    old = torch.relu(seen @ agent.weights[f"{FIRST}.weight"].T + agent.weights[f"{FIRST}.bias"])
    new = torch.relu(seen @ wide[f"{FIRST}.weight"][8:].T)
    own, lateral = wide[f"{SECOND}.weight"][8:, 8:], wide[f"{SECOND}.weight"][8:, :8]
    expected = torch.relu(new @ own.T + old @ lateral.T)
    assert torch.allclose(_mlp(wide, seen)[:, 8:], expected, atol=1e-6)
    assert torch.allclose(_mlp(wide, seen)[:, :8], _mlp(agent.weights, seen), atol=1e-6)
    assert lateral.abs().min() > 0


def _mlp(weights: Any, seen: Tensor) -> Tensor:
    for name in (FIRST, SECOND):
        seen = torch.relu(seen @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    return seen


@pytest.mark.parametrize("method", WIDENING, ids=lambda one: one.name)
def test_the_source_s_column_stays_bit_for_bit_and_all_else_trains(method: Any) -> None:
    agent = source("discrete")
    masks = grown(agent, method, seed=0).masks
    with adapted(agent, KINDS["discrete"].task(), _recipe(method)) as model:
        before = tensors(model)
        model.learn(256)
        after = tensors(model)
    for key, mask in masks.items():
        trains = mask.expand_as(after[key])
        assert torch.equal(after[key][~trains], before[key][~trains]), key
        assert (after[key] != before[key])[trains].float().mean() > 0.9, key
    old = after[f"{SECOND}.weight"][:8]
    assert torch.equal(old[:, :8], agent.weights[f"{SECOND}.weight"]) and not old[:, 8:].any()
    corner = after[f"{SECOND}.weight"][8:, :8]
    assert corner.any() == isinstance(method, Progressive)
    assert not torch.equal(after["action_net.weight"][:, 8:], before["action_net.weight"][:, 8:])
    same_head = torch.equal(after["action_net.weight"][:, :8], agent.weights["action_net.weight"])
    assert same_head == isinstance(method, Residual)


def test_the_first_column_contributes_through_laterals_that_get_gradients() -> None:
    recipe = _recipe(Progressive(width=6))
    with adapted("discrete", KINDS["discrete"].task(), recipe) as model:
        start = tensors(model)[f"{SECOND}.weight"]
        model.learn(256)
        policy, seen = model.policy, torch.randn(20, 4)
        policy.get_distribution(seen).distribution.logits[:, 0].sum().backward()
        layer = dict(policy.named_parameters())[f"{SECOND}.weight"]
        assert layer.grad[8:, :8].abs().min() > 0
        assert (layer[8:, :8] != start[8:, :8]).all()
        whole = policy.get_distribution(seen).distribution.logits
        with torch.no_grad():
            layer[8:, :8] = 0
        assert not torch.allclose(policy.get_distribution(seen).distribution.logits, whole)


@pytest.mark.parametrize("method", WIDENING, ids=lambda one: one.name)
def test_new_weights_follow_the_seed_and_disturb_no_other_numbers(method: Any) -> None:
    key, state = f"{SECOND}.weight", torch.random.get_rng_state()
    drawn = [grown(source("discrete"), method, seed).agent.weights[key] for seed in (0, 0, 1, None)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(drawn[0], drawn[1])
    assert not any(torch.equal(drawn[0], other) for other in drawn[2:])


@pytest.mark.parametrize("method", WIDENING, ids=lambda one: one.name)
def test_inputs_and_outputs_may_be_mapped(method: Any) -> None:
    recipe = _recipe(method, pad_inputs=True, outputs=[1, None, 0])
    seen = torch.randn(9, 6)
    with adapted("discrete", toy("v6", "d3"), recipe) as model:
        begin = model.policy.get_distribution(seen).distribution.logits
        source_logits = outputs(source("discrete").build(), seen[:, :4].numpy())["logits"]
        picked = begin[:, [2, 0]].log_softmax(-1)
        assert torch.allclose(picked, source_logits, atol=1e-6)
        before = tensors(model)
        model.learn(64)
        after = tensors(model)
    layer = f"{FIRST}.weight"
    assert torch.equal(after[layer][:8], before[layer][:8])
    assert (after[layer][8:] != before[layer][8:]).all()


@pytest.mark.parametrize("method", WIDENING, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", FRONTED)
def test_features_extractors_have_to_be_frozen(kind: str, method: Any) -> None:
    own = kind != "batchnorm"
    pattern = "actor.features.*" if own else "features.*"
    with pytest.raises(RecipeError, match=f"freeze=.'{pattern}'"):
        rlt.adapt(source(kind), KINDS[kind].task(), _recipe(method))
    seen = samples(source(kind).observation_space)
    recipe = _recipe(method, freeze=[pattern])
    with (
        adapted(kind, KINDS[kind].task()) as plain,
        adapted(kind, KINDS[kind].task(), recipe) as model,
    ):
        assert_same_outputs(outputs(model, seen), outputs(plain, seen), atol=1e-6)
        model.learn(64)


@pytest.mark.parametrize("thaw", [{}, {"actor.0": 0.5}])
@pytest.mark.parametrize("method", GROWING, ids=lambda one: one.name)
def test_groups_may_be_frozen_on_top(method: Any, thaw: Any) -> None:
    recipe = _recipe(method, freeze=["actor.0"], thaw=thaw)
    with adapted("discrete", KINDS["discrete"].task(), recipe) as model:
        before = tensors(model)
        model.learn(128)
        after = tensors(model)
    assert torch.equal(after[f"{FIRST}.weight"], before[f"{FIRST}.weight"]) == (not thaw)
    assert not torch.equal(after[f"{SECOND}.weight"], before[f"{SECOND}.weight"])


@pytest.mark.parametrize("method", WIDENING, ids=lambda one: one.name)
def test_moments_of_what_was_not_widened_can_be_copied(method: Any) -> None:
    with adapted("box", KINDS["box"].task(), _recipe(method, optimizer="source")) as model:
        assert "moments of 8 of 13" in rlt.describe(model)
        model.learn(64)


def test_a_widened_model_is_an_ordinary_one(tmp_path: Any) -> None:
    with adapted("box", KINDS["box"].task(), _recipe(Progressive(width=6))) as model:
        model.learn(64)
        model.save(tmp_path / "model")
        plain = PPO.load(tmp_path / "model", device="cpu")
        assert plain.policy.net_arch == {"pi": [14, 14], "vf": [8, 8]}
        seen = samples(model.observation_space)
        assert_same_outputs(outputs(plain, seen), outputs(model, seen))


@pytest.mark.parametrize("method", [*WIDENING, LoRA(rank=2)], ids=lambda one: one.name)
def test_the_log_counts_what_trains(method: Any) -> None:
    with adapted("discrete", KINDS["discrete"].task(), _recipe(method)) as model:
        before = {name: one.clone() for name, one in model.policy.named_parameters()}
        model.learn(64)
        logged = model.logger.name_to_value
        changed = sum(
            int((one != before[name]).sum()) for name, one in model.policy.named_parameters()
        )
        count = logged["transfer/trainable_params"]
        if method.name == "lora":
            critic = sum(
                one.numel()
                for name, one in model.policy.named_parameters()
                if name.startswith(("mlp_extractor.value_net", "value_net"))
            )
            assert count == critic + logged["transfer/lora/trainable_params"]
        else:
            assert changed == count


def test_the_description_says_what_was_added() -> None:
    for method, words in (
        # Source: 8 x 4 + 8 and 8 x 8 + 8, and 2 x 8 of the head; zeros: twice 8 x 6, or once.
        (Residual(width=6), "6 new units .*, 224 weights of which"),
        (Progressive(width=6), "6 new units .*, 160 weights of which"),
        (LoRA(rank=2), "changes of rank 2"),
    ):
        with adapted("discrete", KINDS["discrete"].task(), _recipe(method)) as model:
            assert re.search(f"{method.name}: {words}", rlt.describe(model))


@pytest.mark.parametrize(
    ("kind", "recipe", "match"),
    [
        ("recurrent", _recipe(Residual()), "recurrent_ppo"),
        ("maskable", _recipe(Progressive()), "maskable_ppo"),
        ("maskable", _recipe(LoRA()), "sb3-contrib"),
        ("named", _recipe(Residual()), "Named"),
        ("gsde", _recipe(Residual()), "gSDE"),
        ("shallow", _recipe(Progressive()), "has none"),
        ("prelu", _recipe(Residual()), "weights of their own"),
        ("image", _recipe(LoRA()), "freeze="),
        ("discrete", _recipe(Residual(), reset=["actor.head"]), "start fresh"),
        ("discrete", _recipe(Progressive(), reset=["actor.1"]), "start fresh"),
        ("discrete", _recipe(LoRA(), reset=["actor.*"]), "none is copied"),
        ("discrete", _recipe(LoRA(), optimizer="source"), "optimizer='fresh'"),
    ],
)
def test_what_cannot_be_grown_is_refused(kind: str, recipe: Recipe, match: str) -> None:
    with pytest.raises(RecipeError, match=match), adapted(kind, KINDS[kind].task(), recipe):
        pass


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Residual(width=0), "width=0"),
        (lambda: Progressive(width=1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: LoRA(rank=0), "rank=0"),
        (lambda: LoRA(alpha=0), r"alpha=0"),
        (lambda: LoRA(lr_scale=-1), "lr_scale=-1"),
        (lambda: Recipe(grow=[LoRA(), Residual()]), "LoRA and Residual: keep one"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(make: Any, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        make()


def test_what_changes_weights_from_outside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("renew", "imitate"):
        monkeypatch.setattr(L2SP, "role", role)
        with pytest.raises(RecipeError, match=f"{role} has L2SP"):
            Recipe(**{"grow": LoRA(), role: L2SP()})


def test_a_fresh_head_on_a_second_column_trains_as_a_whole() -> None:
    """The column of a source that acts otherwise can still be read."""
    recipe = _recipe(Progressive(width=6), reset=["actor.head"])
    with adapted("discrete", toy("v4", "d3"), recipe) as model:
        before = tensors(model)
        model.learn(64)
        after = tensors(model)
    head = "action_net.weight"
    assert after[head].shape == (3, 14) and (after[head] != before[head]).all()
    assert torch.equal(after[f"{FIRST}.weight"][:8], before[f"{FIRST}.weight"][:8])


NEAR = "rlt/CartPoleSlowControl-v0"


def _learnt(recipe: Recipe) -> float:
    """Mean return after a short training on a task that is near to the source's."""
    found = finetune("cartpole", NEAR, recipe, steps=4000, seed=3, points=1, episodes=20)
    close(found.model)
    return found.run.returns[-1].mean()


@pytest.fixture(scope="module")
def by_the_head_alone() -> float:
    return _learnt(Recipe(freeze=["trunk"]))


@pytest.mark.parametrize("method", (Residual(), Progressive(), LoRA()), ids=lambda one: one.name)
def test_it_learns_what_the_head_alone_cannot(method: Any, by_the_head_alone: float) -> None:
    assert _learnt(_recipe(method)) > by_the_head_alone + 80
