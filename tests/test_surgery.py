from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transfer_cases import (
    KINDS,
    OBSERVATIONS,
    SMALL,
    Named,
    adapted,
    assert_same_outputs,
    outputs,
    same,
    samples,
    source,
    tensors,
    toy,
    train,
)

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError, SpaceMismatch
from rltransfer.layers import layer_groups, select
from rltransfer.recipe import Recipe


def normalized(model: Any, observations: Any) -> Any:
    """What the policy sees of raw observations."""
    normalizer = model.get_vec_normalize_env()
    return normalizer.normalize_obs(observations) if normalizer else observations


def source_outputs(agent: Agent, observations: Any) -> dict[str, torch.Tensor]:
    """Outputs of the source on raw observations, normalized by its own statistics."""
    stats = agent.normalization and agent.normalization.obs_stats
    if stats:
        std = np.sqrt(stats.var + agent.normalization.epsilon)  # pyright: ignore
        observations = np.clip((observations - stats.mean) / std, -10, 10).astype(np.float32)
    return outputs(agent.build(), observations)


# -- what is copied, and nothing else -------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_full_copies_every_tensor_and_acts_as_the_source(kind: str) -> None:
    agent = source(kind)
    observations = samples(OBSERVATIONS[KINDS[kind].observation])
    with adapted(kind, KINDS[kind].task(flip=True)) as model:
        assert same(dict(agent.weights), tensors(model)) == set(agent.weights)
        assert {copy.action for copy in model.transfer.report.tensors} == {"copied"}
        assert_same_outputs(
            outputs(model, normalized(model, observations)), source_outputs(agent, observations)
        )


RESETS: list[tuple[str, list[str]]] = [
    ("discrete", ["actor.head"]),
    ("discrete", ["trunk", "!actor.0"]),
    ("box", ["heads"]),
    ("gsde", ["actor.std"]),
    ("image", ["features.2"]),
    ("mixed", ["critic.features.*"]),
    ("separate", ["actor.features.0"]),
    ("recurrent", ["*.lstm"]),
    ("maskable", ["*"]),
    ("named", ["critic.body"]),
]


@pytest.mark.parametrize(("kind", "reset"), RESETS, ids=str)
def test_exactly_the_named_groups_start_fresh(kind: str, reset: list[str]) -> None:
    """Fresh tensors are those that the scratch arm has with the same seed."""
    agent, task = source(kind), KINDS[kind].task()
    with adapted(kind, task, "scratch") as scratch:
        fresh = tensors(scratch)
    with adapted(kind, task, Recipe(reset=reset)) as model:
        groups = layer_groups(model.policy)
        named = {key for name in select(reset, groups) for key in groups[name].keys}
        critic = set(groups["critic.head"].keys)  # refitted where the layers below it are fresh
        refit = model.transfer.refit is not None
        now = tensors(model)
        assert same(now, fresh) >= named - critic
        assert same(now, dict(agent.weights)) >= set(now) - named - critic
        if not refit and "critic.head" not in select(reset, groups):
            assert same(now, dict(agent.weights)) >= critic
        actions = {copy.key: copy.action for copy in model.transfer.report.tensors}
        assert {key for key, action in actions.items() if action == "reset"} == named - (
            critic if refit else set()
        )


def test_the_source_is_never_touched() -> None:
    agent = source("normalized")
    seal = agent.sha256
    weights = {name: value.clone() for name, value in agent.weights.items()}
    recipe = Recipe(reset=["actor.0"], optimizer="source", log_std=0.5)
    with adapted(agent, KINDS["normalized"].task(scale=3.0), recipe) as model:
        model.learn(64)
    assert agent.sha256 == seal
    assert same(weights, dict(agent.weights)) == set(weights)


def test_scratch_does_not_depend_on_the_weights_of_the_source() -> None:
    other = train(KINDS["normalized"].task(), 32, **{**KINDS["normalized"].options, "seed": 99})
    results = []
    for agent in (source("normalized"), other):
        with adapted(agent, toy("v4", "box1", flip=True), "scratch") as model:
            assert not same(tensors(model), dict(agent.weights))
            model.learn(64)
            stats = model.get_vec_normalize_env().obs_rms
            results.append({**tensors(model), "mean": torch.as_tensor(stats.mean)})
    assert same(*results) == set(results[0])


# -- observations ---------------------------------------------------------------------------------

PADDED = [
    *("discrete", "box", "gsde", "normalized", "relu", "uneven", "batchnorm", "separate"),
    *("maskable", "recurrent", "recurrent box", "recurrent shared", "stacked", "named"),
]


def _widened(observations: np.ndarray, width: int) -> np.ndarray:
    extra = samples(OBSERVATIONS["v6"])[:, : width - observations.shape[1]]
    return np.concatenate([observations, extra], axis=1)


@pytest.mark.parametrize("kind", PADDED)
def test_padding_leaves_the_outputs_as_they_were(kind: str) -> None:
    agent, seen = source(kind), samples(OBSERVATIONS["v4"])
    with adapted(agent, toy("v6", KINDS[kind].action), Recipe(pad_inputs=True)) as model:
        wide = _widened(seen, 6)
        after = outputs(model, normalized(model, wide))
        assert_same_outputs(after, source_outputs(agent, seen), atol=1e-6)
        padded = [c for c in model.transfer.report.tensors if c.action == "padded"]
        assert padded and all(c.target_shape[1] == c.source_shape[1] + 2 for c in padded)
        before = tensors(model)
        model.learn(32)
        assert {c.key for c in padded}.isdisjoint(same(before, tensors(model)))


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"policy_kwargs": {"net_arch": [4, 4]}}, {"policy_net.0.weight", "value_net.0.weight"}),
        (
            {
                "algorithm": "recurrent_ppo",
                "policy_kwargs": {"net_arch": [4], "lstm_hidden_size": 4, "n_lstm_layers": 2},
            },
            {"lstm_actor.weight_ih_l0", "lstm_critic.weight_ih_l0"},
        ),
        (
            {
                "algorithm": "recurrent_ppo",
                "policy_kwargs": {
                    **{"net_arch": [4], "lstm_hidden_size": 4},
                    **{"enable_critic_lstm": False, "shared_lstm": True},
                },
            },
            {"lstm_actor.weight_ih_l0"},
        ),
        (
            {
                "algorithm": "recurrent_ppo",
                "policy_kwargs": {
                    **{"net_arch": [4], "lstm_hidden_size": 4, "enable_critic_lstm": False}
                },
            },
            {"lstm_actor.weight_ih_l0", "critic.weight"},
        ),
    ],
    ids=["mlp", "stacked", "shared", "no critic lstm"],
)
def test_hidden_layers_as_wide_as_the_observation_are_not_padded(
    options: dict[str, Any], keys: set[str]
) -> None:
    agent = train(toy(), 32, **options)
    seen = samples(OBSERVATIONS["v4"])
    with adapted(agent, toy("v6"), Recipe(pad_inputs=True)) as model:
        padded = {c.key for c in model.transfer.report.tensors if c.action == "padded"}
        assert {key.removeprefix("mlp_extractor.") for key in padded} == keys
        assert_same_outputs(
            outputs(model, _widened(seen, 6)), source_outputs(agent, seen), atol=1e-6
        )


@pytest.mark.parametrize(
    ("kind", "target"), [("multibinary", "classes7"), ("dict", "moredict"), ("shallow", "v6")]
)
def test_padding_other_observations(kind: str, target: str) -> None:
    """More classes of a Discrete observation; a new last key; a policy without hidden layers."""
    agent = source(kind)
    seen = samples(OBSERVATIONS[KINDS[kind].observation])
    if target == "moredict":
        wide: Any = {**seen, "c": samples(OBSERVATIONS["v4"])[:, :2]}
    else:
        wide = _widened(seen, 6) if target == "v6" else seen
    with adapted(agent, toy(target, KINDS[kind].action), Recipe(pad_inputs=True)) as model:
        assert_same_outputs(outputs(model, wide), source_outputs(agent, seen), atol=1e-6)


def _from_target(wide: np.ndarray, inputs: Sequence[int | None]) -> np.ndarray:
    """What the source would have seen; an input that the target lacks counts as 0."""
    seen = np.zeros((len(wide), 4), np.float32)
    for column, index in enumerate(inputs):
        if index is not None:
            seen[:, index] = wide[:, column]
    return seen


MAPS: list[tuple[str, str, list[int | None]]] = [
    ("discrete", "v4", [2, 0, 3, 1]),
    ("discrete", "v6", [None, 3, 2, None, 1, 0]),
    ("discrete", "v3", [3, 0, 1]),
    ("discrete", "v4", [None, None, None, None]),
    ("box", "v4", [3, 2, 1, 0]),
    ("recurrent", "v6", [0, None, 2, 1, 3, None]),
    ("recurrent box", "v4", [1, 0, 2, 3]),
    ("separate", "v6", [5 - 2, 2, 1, 0, None, None]),
    ("shallow", "v3", [0, None, 1]),
]


@pytest.mark.parametrize(("kind", "target", "inputs"), MAPS, ids=str)
def test_inputs_name_the_source_column_of_each_target_column(
    kind: str, target: str, inputs: list[int | None]
) -> None:
    agent, wide = source(kind), samples(OBSERVATIONS[target])
    with adapted(agent, toy(target, KINDS[kind].action), Recipe(inputs=inputs)) as model:
        expected = source_outputs(agent, _from_target(wide, inputs))
        assert_same_outputs(outputs(model, wide), expected, atol=1e-6)


def test_inputs_rearrange_the_statistics_too() -> None:
    agent, inputs = source("normalized"), [3, None, 0, 1, 2, None]
    wide = samples(OBSERVATIONS["v6"])
    with adapted(agent, toy("v6", "box1"), Recipe(inputs=inputs)) as model:
        expected = source_outputs(agent, _from_target(wide, inputs))
        assert_same_outputs(outputs(model, normalized(model, wide)), expected, atol=1e-6)
        stats, old = model.get_vec_normalize_env().obs_rms, agent.normalization.obs_stats
        assert np.array_equal(stats.mean, [old.mean[3], 0, *old.mean[:3], 0])
        assert np.array_equal(stats.var, [old.var[3], 1, *old.var[:3], 1])


BAD_MAPS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("discrete", "v4", "d2", {"inputs": [0, 1, 2]}, "inputs has 3 entries, but the target has 4"),
    ("discrete", "v6", "d2", {"inputs": [0, 1, 2, 3]}, "has 4 entries, but the target has 6"),
    ("discrete", "v4", "d2", {"inputs": []}, "inputs has 0 entries"),
    ("discrete", "v4", "d2", {"inputs": [0, 1, 2, 4]}, r"names 4, but the source has only 0\.\.3"),
    ("discrete", "v4", "d3", {"outputs": [0, 1]}, "outputs has 2 entries, but the target has 3"),
    ("discrete", "v4", "d3", {"outputs": [0, 1, 2]}, r"names 2, but the source has only 0\.\.1"),
    ("discrete", "v3", "d2", {"pad_inputs": True}, "PadObservation"),
    ("multidiscrete", "morepairs", "multi", {"pad_inputs": True}, "use inputs, 6 source indices"),
    ("image", "image", "d3", {"pad_inputs": True}, "as an image"),
    ("image", "image", "d3", {"inputs": list(range(36 * 36))}, "as an image"),
    ("discrete", "v4", "d2", {"outputs": [1, 0], "reset": ["actor.head"]}, "drop one of the two"),
    ("discrete", "v4", "d2", {"log_std": -0.7}, "floor for continuous actions"),
    ("box", "v4", "box2", {"temperature": 2.0}, "set a floor with log_std"),
    ("discrete", "v4", "d2", {"temperature": 2.0, "reset": ["heads"]}, "reset names actor.head"),
]


@pytest.mark.parametrize(("kind", "seen", "acts", "fields", "message"), BAD_MAPS, ids=str)
def test_choices_that_do_not_fit_are_refused(
    kind: str, seen: str, acts: str, fields: dict[str, Any], message: str
) -> None:
    with (
        pytest.raises(RecipeError, match=message) as caught,
        adapted(kind, toy(seen, acts), Recipe(**fields)),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_statistics_of_several_parts_cannot_be_rearranged() -> None:
    agent = train(toy("dict", "d2"), 32, policy_kwargs=SMALL, normalize_obs=True)
    recipe = Recipe(pad_inputs=True)
    with pytest.raises(SpaceMismatch, match="obs_stats='reset'"):
        adapted(agent, toy("moredict", "d2"), recipe).__enter__()
    with adapted(agent, toy("moredict", "d2"), recipe.but(obs_stats="reset")) as model:
        model.learn(32)


# -- actions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discrete", "recurrent", "relu"])
def test_outputs_name_the_source_action_of_each_target_action(kind: str) -> None:
    agent = source(kind)
    # Biases that softmax has trained sum to zero, as if there were none.
    shifted = {**agent.weights, "action_net.bias": agent.weights["action_net.bias"] + 3}
    agent = replace(agent, weights=shifted, optimizer=None)
    with adapted(agent, toy("v4", "d3"), Recipe(outputs=[1, None, 0])) as model:
        head, old = model.policy.action_net, agent.weights
        assert torch.equal(head.weight[[2, 0]], old["action_net.weight"])
        assert torch.equal(head.bias[[2, 0]], old["action_net.bias"])
        assert not head.weight[1].any()
        assert head.bias[1] == old["action_net.bias"].mean()
        model.learn(32)


def test_a_new_action_is_neither_favored_nor_excluded() -> None:
    agent, seen = source("discrete"), samples(OBSERVATIONS["v4"])
    before = outputs(agent.build(), seen)["logits"].exp()
    with adapted(agent, toy("v4", "d3"), Recipe(outputs=[0, 1, None])) as model:
        after = outputs(model, seen)["logits"].exp()
        assert torch.allclose(after[:, 0] / after[:, 1], before[:, 0] / before[:, 1], atol=1e-5)
        assert (after[:, 2] > 0.1).all() and (after[:, 2] < 0.6).all()


@pytest.mark.parametrize("kind", ["box", "gsde", "recurrent box"])
def test_continuous_outputs_carry_their_standard_deviation(kind: str) -> None:
    agent, seen = source(kind), samples(OBSERVATIONS["v4"])
    before = source_outputs(agent, seen)
    with adapted(agent, toy("v4", "box3"), Recipe(outputs=[1, None, 0])) as model:
        after = outputs(model, seen)
        assert torch.allclose(after["mean"][:, [2, 0]], before["mean"], atol=1e-6)
        assert not after["mean"][:, 1].any()
        assert torch.allclose(after["std"][:, [2, 0]], before["std"], atol=1e-6)
        assert torch.equal(after["values"], before["values"])
        old, new = agent.weights["log_std"], model.policy.log_std
        assert torch.equal(new[..., [2, 0]], old)
        assert not new[..., 1].any(), "log_std_init is 0"
        model.learn(32)


def test_gsde_with_one_deviation_for_all_actions_keeps_it() -> None:
    kwargs = {**SMALL, "full_std": False}
    agent = train(toy("v4", "box2"), 32, use_sde=True, policy_kwargs=kwargs)
    with adapted(agent, toy("v4", "box3"), Recipe(outputs=[1, None, 0])) as model:
        assert torch.equal(model.policy.log_std, agent.weights["log_std"])


def test_outputs_of_several_discrete_actions() -> None:
    agent, seen = source("multidiscrete"), samples(OBSERVATIONS["pairs"])
    before = source_outputs(agent, seen)
    with adapted(agent, toy("pairs", "imult"), Recipe(outputs=[2, 3, 4, 0, 1])) as model:
        after = outputs(model, seen)
        assert torch.allclose(after["logits0"], before["logits1"], atol=1e-6)
        assert torch.allclose(after["logits1"], before["logits0"], atol=1e-6)


def test_a_new_bit_is_a_coin_toss() -> None:
    agent = train(toy("v4", "bits2"), 32, policy_kwargs=SMALL)
    with adapted(agent, toy("v4", "bits3"), Recipe(outputs=[1, 0, None])) as model:
        logits = outputs(model, samples(OBSERVATIONS["v4"]))["logits"]
        assert not logits[:, 2].any() and logits[:, :2].any()


def test_inputs_and_outputs_on_a_policy_without_hidden_layers() -> None:
    """One matrix has both axes."""
    agent = source("shallow")
    recipe = Recipe(inputs=[None, 2, 0], outputs=[None, 0])
    with adapted(agent, toy("v3", "box2"), recipe) as model:
        old, new = agent.weights["action_net.weight"], model.policy.action_net.weight
        assert torch.equal(new[1], torch.stack([torch.zeros(()), old[0, 2], old[0, 0]]))
        assert not new[0].any()
        assert model.policy.value_net.weight.shape == (1, 3)
        model.learn(32)


def test_temperature_divides_the_logits() -> None:
    agent, seen = source("discrete"), samples(OBSERVATIONS["v4"])
    before = outputs(agent.build(), seen)["logits"]
    with adapted(agent, toy(), Recipe(temperature=4.0)) as model:
        after = outputs(model, seen)["logits"]
        assert torch.allclose(after, (before / 4).log_softmax(1), atol=1e-6)
        assert model.transfer.report.notes["logits"] == "divided by 4"


@pytest.mark.parametrize("kind", ["multidiscrete", "multibinary", "maskable", "recurrent"])
def test_temperature_softens_every_kind_of_discrete_action(kind: str) -> None:
    agent = source(kind)
    with adapted(agent, KINDS[kind].task(), Recipe(temperature=2.0)) as model:
        for part in ("weight", "bias"):
            now = getattr(model.policy.action_net, part)
            assert torch.equal(now, agent.weights[f"action_net.{part}"] / 2)


@pytest.mark.parametrize("kind", ["box", "gsde", "recurrent box"])
def test_log_std_is_copied_reset_or_floored(kind: str) -> None:
    agent = source(kind)
    old = agent.weights["log_std"]
    floor = float(old.mean())
    with adapted(agent, KINDS[kind].task()) as model:
        assert torch.equal(model.policy.log_std, old)
    with adapted(agent, KINDS[kind].task(), Recipe(log_std="reset")) as model:
        assert torch.equal(model.policy.log_std, torch.zeros_like(old))
        actions = {c.key: c.action for c in model.transfer.report.tensors}
        assert actions["log_std"] == "reset"
        assert "log_std" not in model.transfer.origin
    with adapted(agent, KINDS[kind].task(), Recipe(log_std=floor)) as model:
        assert torch.equal(model.policy.log_std, old.clamp(min=floor))
        assert float(model.policy.log_std.detach().min()) == pytest.approx(floor)


def test_log_std_is_reset_to_what_the_policy_was_built_with() -> None:
    kwargs = {**SMALL, "log_std_init": -1.5}
    agent = train(toy("v4", "box2"), 32, policy_kwargs=kwargs)
    with adapted(agent, toy("v4", "box2"), Recipe(log_std="reset")) as model:
        assert torch.equal(model.policy.log_std, torch.full((2,), -1.5))


# -- unequal spaces -------------------------------------------------------------------------------

MISMATCHES: list[tuple[str, str, str, list[str]]] = [
    ("discrete", "v6", "d2", ["actor.0", "policy_net.0.weight", "(8, 4)", "(8, 6)", "pad_inputs"]),
    ("discrete", "v3", "d2", ["critic.0", "(8, 3)", "PadObservation"]),
    ("discrete", "v4", "d3", ["actor.head", "action_net.bias", "(2,)", "(3,)", "[0, 1, None]"]),
    ("discrete", "v6", "d3", ["actor.0", "actor.head", "pad_inputs", "outputs"]),
    ("discrete", "classes4", "d2", ["actor.0", "critic.0", "Discrete(4)"]),
    ("discrete", "grid", "d2", ["actor.0", "(2, 2)"]),
    ("discrete", "v4", "box2", ["actor.std", "has none", "actor.head", "Box"]),
    ("discrete", "v4", "bits2", ["actor.head", "MultiBinary(2)"]),
    ("box", "v4", "d2", ["actor.head", "Discrete(2)"]),
    ("box", "v4", "box3", ["actor.std", "actor.head", "outputs=[0, 1, None]"]),
    ("gsde", "v4", "box3", ["actor.std", "(8, 2)", "(8, 3)"]),
    ("multidiscrete", "morepairs", "multi", ["actor.0", "(8, 5)", "(8, 6)"]),
    ("multidiscrete", "pairs", "imult", ["actor.head", "(5, 8)"]),
    ("multibinary", "classes7", "bits3", ["actor.0", "pad_inputs"]),
    ("dict", "moredict", "d2", ["actor.0", "pad_inputs"]),
    ("mixed", "nomix", "box2", ["actor.0", "critic.0"]),
    ("normalized", "v6", "box1", ["actor.0", "pad_inputs"]),
    ("recurrent", "v6", "d2", ["actor.lstm", "lstm_actor.weight_ih_l0", "(24, 4)", "pad_inputs"]),
    ("recurrent shared", "v6", "d2", ["actor.lstm"]),
    ("maskable", "v6", "d2", ["actor.0", "actor.head"]),
    ("separate", "v6", "d2", ["actor.features.0", "critic.features.0"]),
    ("shallow", "v6", "box1", ["actor.head", "critic.head"]),
    ("named", "v6", "d2", ["actor.body", "critic.body"]),
]


def cures_in(message: str) -> list[Recipe]:
    """Every cure in a message that is an argument of a recipe, as it stands there."""
    cures = []
    for part in message.split("Cure: ")[1].split(", or "):
        fields = re.findall(r"(reset|pad_inputs|outputs|obs_stats)=(\[.*?\]|True|'reset')", part)
        if fields:
            cures.append(Recipe(**{name: ast.literal_eval(value) for name, value in fields}))
    return cures


def _cured(agent: Agent, task: str, recipe: Recipe) -> Recipe:
    """Follow the last cure of each message until the recipe fits."""
    for _ in range(4):
        try:
            with adapted(agent, task, recipe) as model:
                model.learn(32)
                return recipe
        except SpaceMismatch as error:
            last = cures_in(str(error))[-1].to_dict()
            recipe = recipe.but(**{k: [*recipe.reset, *v] if k == "reset" else v
                                   for k, v in last.items()})  # fmt: skip
    raise AssertionError(f"no cure worked: {recipe}")


@pytest.mark.parametrize(("kind", "seen", "acts", "words"), MISMATCHES, ids=str)
def test_unequal_spaces_are_refused_with_a_cure_that_works(
    kind: str, seen: str, acts: str, words: list[str]
) -> None:
    agent, task = source(kind), toy(seen, acts)
    with pytest.raises(SpaceMismatch) as caught:
        adapted(agent, task).__enter__()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    first, *others = cures_in(message)
    with adapted(agent, task, first) as model:
        model.learn(32)
        actions = {c.group: c.action for c in model.transfer.report.tensors}
        assert all(actions[name] in ("reset", "refit") for name in first.reset)
    if others:
        _cured(agent, task, others[-1])


def test_a_cure_keeps_what_the_recipe_already_resets() -> None:
    with pytest.raises(SpaceMismatch) as caught:
        adapted("discrete", toy("v6", "d2"), Recipe(reset=["critic.0", "actor.head"])).__enter__()
    assert "reset=['critic.0', 'actor.head', 'actor.0']" in str(caught.value)


def test_what_the_target_has_no_place_for_is_not_dropped_silently() -> None:
    recipe = Recipe(reset=["actor.*", "!actor.head"])
    agent = train(toy("v4", "box3"), 32, policy_kwargs=SMALL)
    with pytest.raises(SpaceMismatch, match=r"actor\.head"):
        adapted(agent, toy("v4", "d3"), recipe).__enter__()
    with adapted(agent, toy("v4", "d3"), Recipe(reset=["actor.head"])) as model:
        assert model.transfer.report.notes["left behind"] == "log_std"


def test_an_encoder_may_stay_behind_when_what_it_fed_starts_fresh() -> None:
    """Ten numbers fit where eight image features and two numbers were, and mean something else."""
    target = toy("wide", "box2")
    with pytest.raises(SpaceMismatch, match=r"no place for: .*extractors\.image") as caught:
        adapted("mixed", target).__enter__()
    (cure,) = cures_in(str(caught.value))
    assert cure == Recipe(reset=["actor.0", "critic.0"])
    with adapted("mixed", target, cure) as model:
        assert "extractors.image" in model.transfer.report.notes["left behind"]
        model.learn(32)


def test_maps_need_to_know_the_matrix_on_the_observation() -> None:
    """A policy whose one group holds two matrices of that width does not say which it is."""
    agent = train(toy(), 32, policy=Named, policy_kwargs={"net_arch": [4, 4]})
    with pytest.raises(RecipeError, match=r"actor\.body has 2 matrices with 4 columns"):
        adapted(agent, toy("v6"), Recipe(pad_inputs=True)).__enter__()


UNREADABLE: list[tuple[str, str, str, str]] = [
    ("discrete", "dict", "d2", "FlattenObservation"),
    ("dict", "v4", "d2", "MultiInputPolicy cannot read"),
    ("image", "v4", "d3", "CnnPolicy cannot read"),
    ("maskable", "v4", "box1", "MaskablePPO, for discrete actions"),
]


@pytest.mark.parametrize(("kind", "seen", "acts", "message"), UNREADABLE, ids=str)
def test_what_no_recipe_can_bridge_is_refused(
    kind: str, seen: str, acts: str, message: str
) -> None:
    with pytest.raises(SpaceMismatch, match=message) as caught:
        adapted(kind, toy(seen, acts), Recipe(reset=["*"])).__enter__()
    assert "\n" not in str(caught.value)


def test_a_space_with_other_bounds_is_noted() -> None:
    with adapted("discrete", toy("far4", "d2")) as model:
        note = model.transfer.report.notes["observation space"]
        assert "-1.0" in note and "-5.0" in note
