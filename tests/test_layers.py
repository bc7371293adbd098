from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from transfer_cases import KINDS, OBSERVATIONS, Forgetful, Gated, Named, source

from rltransfer.errors import RecipeError, UnknownName
from rltransfer.layers import by_pattern, input_groups, layer_groups, select

MLP = ["actor.0", "critic.0", "actor.1", "critic.1", "actor.head", "critic.head"]
GAUSSIAN = [*MLP[:4], "actor.std", *MLP[4:]]
CNN = ["features.0", "features.1", "features.2", "features.3"]
HEADS = ["actor.head", "critic.head"]
EXPECTED: dict[str, list[str]] = {
    "discrete": MLP,
    "box": GAUSSIAN,
    "gsde": GAUSSIAN,
    "multidiscrete": MLP,
    "multibinary": MLP,
    "dict": MLP,
    "maskable": MLP,
    "uneven": ["actor.0", "critic.0", "critic.1", "critic.2", *HEADS],
    "shallow": ["actor.std", *HEADS],
    "image": [*CNN, *HEADS],
    "mixed": [
        *(f"actor.features.image.{i}" for i in range(4)),
        *(f"critic.features.image.{i}" for i in range(4)),
        *GAUSSIAN,
    ],
    "batchnorm": ["features.0", "features.1", *MLP],
    "separate": [
        *("actor.features.0", "actor.features.1", "critic.features.0", "critic.features.1"),
        *MLP,
    ],
    "named": ["actor.body", "critic.body", *HEADS],
    "recurrent": ["actor.lstm", "critic.lstm", "actor.0", "critic.0", *HEADS],
    "recurrent box": ["actor.lstm", "critic.input", "actor.0", "critic.0", "actor.std", *HEADS],
    "recurrent shared": ["actor.lstm", "actor.0", "critic.0", *HEADS],
}
ENTRIES: dict[str, list[str]] = {
    "discrete": ["actor.0", "critic.0"],
    "dict": ["actor.0", "critic.0"],
    "shallow": HEADS,
    "image": ["features.0"],
    "separate": ["actor.features.0", "critic.features.0"],
    "named": ["actor.body", "critic.body"],
    "recurrent": ["actor.lstm", "critic.lstm"],
    "recurrent box": ["actor.lstm", "critic.input"],
    "recurrent shared": ["actor.lstm"],
}


def policy_of(kind: str) -> Any:
    return source(kind).build().policy


@pytest.mark.parametrize("kind", EXPECTED)
def test_groups_of_every_policy_are_named_from_input_to_output(kind: str) -> None:
    assert list(layer_groups(policy_of(kind))) == EXPECTED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_is_in_one_group_and_every_parameter_is_listed_once(kind: str) -> None:
    policy = policy_of(kind)
    groups = layer_groups(policy).values()
    assert sorted(k for g in groups for k in g.keys) == sorted(policy.state_dict())
    listed = [name for group in groups for name in group.parameters]
    assert sorted(listed) == sorted(name for name, _ in policy.named_parameters())


@pytest.mark.parametrize("kind", ENTRIES)
def test_input_groups(kind: str) -> None:
    assert input_groups(layer_groups(policy_of(kind))) == ENTRIES[kind]


def test_a_group_holds_the_weights_its_name_says() -> None:
    groups = layer_groups(policy_of("box"))
    assert groups["actor.1"].keys == (
        "mlp_extractor.policy_net.2.weight",
        "mlp_extractor.policy_net.2.bias",
    )
    assert groups["critic.head"].keys == ("value_net.weight", "value_net.bias")
    assert groups["actor.std"].keys == ("log_std",)


def test_a_shared_extractor_is_one_group_under_all_its_names() -> None:
    keys = layer_groups(policy_of("image"))["features.0"].keys
    prefixes = {key.split(".")[0] for key in keys}
    assert prefixes == {"features_extractor", "pi_features_extractor", "vf_features_extractor"}
    assert layer_groups(policy_of("image"))["features.0"].parameters == (
        "features_extractor.cnn.0.weight",
        "features_extractor.cnn.0.bias",
    )


@pytest.mark.parametrize("kind", ["batchnorm", "separate"])
def test_norms_and_dropout_belong_to_the_layer_before_them(kind: str) -> None:
    policy = policy_of(kind)
    prefix = "features" if kind == "batchnorm" else "critic.features"
    group = layer_groups(policy)[f"{prefix}.0"]
    kinds = {type(policy.get_submodule(path)) for path in group.modules}
    assert kinds == {nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout}
    assert any(key.endswith("running_mean") for key in group.keys)
    actor = layer_groups(policy)[f"{prefix.replace('critic', 'actor')}.0"]
    assert {type(policy.get_submodule(path)) for path in actor.modules} == kinds


@pytest.mark.parametrize(
    ("kind", "depths"),
    [
        ("discrete", {"actor.0": 2, "critic.0": 2, "actor.1": 1, "actor.head": 0}),
        ("uneven", {"actor.0": 1, "critic.0": 3, "critic.2": 1}),
        ("image", {"features.0": 4, "features.3": 1}),
        ("separate", {"critic.features.0": 4, "critic.features.1": 3, "critic.0": 2}),
        ("recurrent", {"actor.lstm": 2, "actor.0": 1}),
        ("box", {"actor.std": 0}),
        ("named", {"actor.body": 1, "critic.body": 1, "critic.head": 0}),
    ],
)
def test_depth_counts_layers_to_the_nearest_head(kind: str, depths: dict[str, int]) -> None:
    groups = layer_groups(policy_of(kind))
    assert {name: groups[name].depth for name in depths} == depths


def test_depth_of_declared_groups_is_counted_by_branch() -> None:
    class Branches(Named):
        def layer_groups(self) -> Any:
            net = "mlp_extractor"
            return {
                "features.0": [],
                "actor.0": [f"{net}.policy_net.0"],
                "critic.0": [f"{net}.value_net.0"],
                "actor.1": [f"{net}.policy_net.2"],
                "critic.1": [f"{net}.value_net.2"],
                "actor.head": ["action_net"],
                "critic.head": ["value_net"],
            }

    groups = layer_groups(_policy(Branches))
    assert {name: group.depth for name, group in groups.items()} == {
        **{"actor.0": 2, "critic.0": 2, "actor.1": 1, "critic.1": 1},
        **{"actor.head": 0, "critic.head": 0},
    }


class Scaled(BaseFeaturesExtractor):
    """Keeps buffers but no parameters of its own, on the extractor and on a norm."""

    def __init__(self, observation_space: spaces.Box, hidden: bool) -> None:
        super().__init__(observation_space, 4)
        self.register_buffer("scale", torch.ones(4))
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.linear = nn.Linear(4, 4) if hidden else nn.Identity()

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(observations * self.scale))


@pytest.mark.parametrize("hidden", [True, False])
def test_buffers_without_parameters_belong_to_a_group(hidden: bool) -> None:
    policy = _policy(
        ActorCriticPolicy,
        features_extractor_class=Scaled,
        features_extractor_kwargs={"hidden": hidden},
    )
    groups = layer_groups(policy)
    assert "features_extractor.scale" in groups["features.0"].keys
    assert "features_extractor.norm.running_var" in groups["features.0"].keys
    assert ("features.1" in groups) == hidden


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["actor.0"], ["actor.0"]),
        (["actor.*"], ["actor.0", "actor.1", "actor.std", "actor.head"]),
        (["*.0"], ["actor.0", "critic.0"]),
        (["heads"], ["actor.std", "actor.head", "critic.head"]),
        (["trunk"], ["actor.0", "critic.0", "actor.1", "critic.1"]),
        (["trunk", "!critic.*"], ["actor.0", "actor.1"]),
        (["*", "!heads", "critic.head"], [*GAUSSIAN[:4], "critic.head"]),
        (["critic.head", "actor.0"], ["actor.0", "critic.head"]),
        (["actor.[01]"], ["actor.0", "actor.1"]),
    ],
)
def test_select(patterns: list[str], expected: list[str]) -> None:
    assert select(patterns, GAUSSIAN) == expected


@pytest.mark.parametrize("pattern", ["actor.2", "!actor.2", "action.*", "Actor.0", ""])
def test_a_pattern_that_matches_nothing_lists_the_groups(pattern: str) -> None:
    with pytest.raises(UnknownName) as caught:
        select(["*", pattern], GAUSSIAN)
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in [*GAUSSIAN, "heads", "trunk"])


def test_a_misspelled_group_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'critic\.head'\?"):
        select(["critic.haed"], GAUSSIAN)


def test_a_word_that_stands_for_no_group_is_not_offered() -> None:
    with pytest.raises(UnknownName) as caught:
        select(["trunk"], EXPECTED["shallow"])
    assert "Known: actor.std, actor.head, critic.head, heads" in str(caught.value)


@pytest.mark.parametrize("turn", [dict, lambda items: dict(reversed(list(items.items())))])
def test_an_own_name_goes_before_a_glob_in_any_order(turn: Callable[[Any], Any]) -> None:
    values = turn({"actor.*": 0.3, "actor.1": 0.6})
    found = by_pattern(values, MLP, "thaw")
    assert found == {"actor.0": 0.3, "actor.1": 0.6, "actor.head": 0.3}


def test_two_globs_may_agree_but_not_differ() -> None:
    assert by_pattern({"actor.*": 0.3, "*.0": 0.3}, MLP, "thaw")["critic.0"] == 0.3
    with pytest.raises(RecipeError, match=r"thaw gives 'actor\.0' several values \(0\.3 by"):
        by_pattern({"actor.*": 0.3, "*.0": 0.4}, MLP, "thaw")
    settled = by_pattern({"actor.*": 0.3, "*.0": 0.4, "actor.0": 0.9}, MLP, "thaw")
    assert settled["actor.0"] == 0.9 and settled["critic.0"] == 0.4


def _policy(kind: Any, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return kind(OBSERVATIONS["v4"], spaces.Discrete(2), lambda _: 1e-3, net_arch=[8, 8], **kwargs)


@pytest.mark.parametrize(("kind", "tensor"), [(Forgetful, "value_net"), (Gated, "gate")])
def test_a_tensor_without_a_group_is_named(kind: Any, tensor: str) -> None:
    with pytest.raises(RecipeError, match=rf"{kind.__name__}: '{tensor}.*0 layer groups.*layer_g"):
        layer_groups(_policy(kind))


def test_a_tensor_in_two_groups_is_named() -> None:
    class Twice(Named):
        def layer_groups(self) -> Any:
            return {**super().layer_groups(), "extra": ["value_net.bias"]}

    with pytest.raises(RecipeError, match=r"'value_net\.bias' belongs to 2 layer groups"):
        layer_groups(_policy(Twice))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"actor.head": ["action_nett"]}, r"names 'action_nett', which the policy does not have"),
        ({"actor.head": "action_net"}, "must be a method that returns a mapping"),
        (["action_net"], "must be a method that returns a mapping"),
        (None, "must be a method that returns a mapping"),
    ],
)
def test_a_malformed_layer_groups_method_is_explained(declared: Any, message: str) -> None:
    class Wrong(Named):
        def layer_groups(self) -> Any:
            return declared

    with pytest.raises(RecipeError, match=message):
        layer_groups(_policy(Wrong))


def test_layer_groups_as_data_is_refused() -> None:
    policy = _policy(ActorCriticPolicy)
    policy.layer_groups = {"actor.head": ["action_net"]}
    with pytest.raises(RecipeError, match="must be a method"):
        layer_groups(policy)


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(RecipeError, match="Linear is not an SB3 actor-critic policy"):
        layer_groups(nn.Linear(2, 2))
