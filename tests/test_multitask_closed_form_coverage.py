"""What the closed form of several tasks refuses, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from multitask_closed_form_cases import box, four_tasks, made
from torch import nn

from rltransfer.engine.multitask.closed_form import unsupported
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.tasks import PolicyTask
from rltransfer.policies.trunks import MlpTrunk
from rltransfer.policies.value_head import ValueHead


def task(**changes: Any) -> PolicyTask:
    given = {"observation_space": box(3), "action_space": spaces.Discrete(2), **changes}
    return PolicyTask(id="more-v0", **given)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize_observations": True},
        {"trunk_kwargs": {"sizes": []}},
        {"tasks": four_tasks(noise=0.5)},
        *({"activation_fn": kind} for kind in (nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU)),
    ],
)
def test_plain_policies_are_covered(options: dict[str, Any]) -> None:
    policy = made(**options)
    assert unsupported(policy, policy.optimizer) is None
    policy.float().actor.requires_grad_(False)
    assert unsupported(policy, policy.optimizer) is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"conditioning": "one-hot"}, "the trunk is conditioned by a OneHot"),
        ({"share_critic": True}, "actor and critic share their layers"),
        ({"activation_fn": nn.SiLU}, "encoder classes-v0 is VectorEncoder("),
        ({"tasks": [*four_tasks(), task(masked=True)]}, "more-v0 has action masks"),
        (
            {"tasks": [*four_tasks(), task(observation_space=spaces.Discrete(4))]},
            "encoder more-v0 is a ClassEncoder",
        ),
        ({"optimizer_class": torch.optim.SGD, "optimizer_kwargs": {}}, "optimizer is SGD"),
    ],
)
def test_other_policies_are_refused(options: dict[str, Any], why: str) -> None:
    policy = made(**options)
    reason = unsupported(policy, policy.optimizer)
    assert reason is not None and why in reason


def _replace_activation(policy: MultiTaskPolicy) -> None:
    policy.actor.encoders["bits-v0"][1] = nn.ReLU()


def _other_trunk(policy: MultiTaskPolicy) -> None:
    policy.critic.trunk.__class__ = type("Own", (MlpTrunk,), {})


def _other_value_head(policy: MultiTaskPolicy) -> None:
    policy.value_heads["bits-v0"].__class__ = type("Own", (ValueHead,), {})


def _share_a_layer(policy: MultiTaskPolicy) -> None:
    policy.critic.trunk = policy.actor.trunk


def _drop_a_bias(policy: MultiTaskPolicy) -> None:
    policy.action_heads["bits-v0"].bias = None


def _hook(policy: MultiTaskPolicy) -> None:
    policy.actor.trunk.register_forward_hook(lambda *_: None)


def _replace_method(policy: MultiTaskPolicy) -> None:
    policy.evaluate_normalized = lambda *_: None  # pyright: ignore


def _replace_sample(policy: MultiTaskPolicy) -> None:
    policy.distributions[0].sample = lambda *_, **__: None  # pyright: ignore


def _two_groups(policy: MultiTaskPolicy) -> None:
    group = policy.optimizer.param_groups[0]
    first, *others = group["params"]
    group["params"] = others
    policy.optimizer.add_param_group({"params": [first]})


def _halve(policy: MultiTaskPolicy) -> None:
    policy.half()


def _freeze(policy: MultiTaskPolicy) -> None:
    policy.requires_grad_(False)


class Grown(MultiTaskPolicy):
    """A class of a user's own."""


def _derive(policy: MultiTaskPolicy) -> None:
    policy.__class__ = Grown


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_replace_activation, "activations of the encoders differ"),
        (_other_trunk, "critic.trunk is a Own"),
        (_other_value_head, "bits-v0 has a Own instead of a ValueHead"),
        (_share_a_layer, "critic.trunk.layers.0.0.bias is shared, absent or no parameter"),
        (_drop_a_bias, "action_heads.bits-v0.bias is shared, absent or no parameter"),
        (_hook, "actor.trunk has a hook"),
        (_replace_method, "evaluate_normalized of the policy was replaced"),
        (_replace_sample, "sample of the action distribution was replaced"),
        (_two_groups, "optimizer has 2 parameter groups"),
        (_halve, "is torch.float16"),
        (_freeze, "no parameter trains"),
        (_derive, "policy is a Grown"),
    ],
)
def test_changed_policies_are_refused(change: Callable[[MultiTaskPolicy], None], why: str) -> None:
    policy = made()
    change(policy)
    reason = unsupported(policy, policy.optimizer)
    assert reason is not None and why in reason
