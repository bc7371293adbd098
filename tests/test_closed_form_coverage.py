"""What the closed form does not cover is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from closed_form_cases import (
    ACTION_SPACES,
    made,
)
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import policies, torch_layers
from torch import nn

from rltransfer.engine.closed_form import unsupported
from rltransfer.layers import layer_groups
from rltransfer.training.schedule import GroupPlan, GroupScheduler


def test_plain_policies_are_supported() -> None:
    for actions in ACTION_SPACES:
        model = made(actions)
        assert unsupported(model.policy, model.policy.optimizer) is None


class OtherPolicy(policies.ActorCriticPolicy):
    """Looks the same, may compute anything."""


def _policy_kwargs(**kwargs: Any) -> Callable[[], PPO]:
    return lambda: made("box", policy_kwargs=kwargs)


def _changed(change: Callable[[Any], object], actions: str = "box") -> Callable[[], PPO]:
    def build() -> PPO:
        model = made(actions)
        change(model.policy)
        return model

    return build


def _put(path: str, module: nn.Module) -> Callable[[], PPO]:
    return _changed(lambda policy: policy.set_submodule(path, module))


def _group(**options: Any) -> Callable[[], PPO]:
    return _changed(lambda policy: policy.optimizer.param_groups[0].update(options))


def _subclass(policy: Any) -> None:
    policy.__class__ = OtherPolicy


def _tie(policy: Any) -> None:
    policy.mlp_extractor.value_net[0].weight = policy.mlp_extractor.policy_net[0].weight


def _replace_forward(policy: Any) -> None:
    policy.forward = policy.evaluate_actions


def _replace_linear(policy: Any) -> None:
    policy.mlp_extractor.policy_net[0].forward = torch.sin


def _add_parameter(policy: Any) -> None:
    policy.extra = nn.Parameter(torch.zeros(1))


def _no_bias(policy: Any) -> None:
    policy.action_net.bias = None


UNSUPPORTED: dict[str, Callable[[], PPO]] = {
    "policy is a OtherPolicy": _changed(_subclass),
    "forward of the policy was replaced": _changed(_replace_forward),
    "forward of mlp_extractor.policy_net.0 was replaced": _changed(_replace_linear),
    "actions are explored by gSDE": lambda: made("box", use_sde=True),
    "layer mlp_extractor.policy_net.1 is GELU(approximate='none')": _policy_kwargs(
        activation_fn=nn.GELU
    ),
    "layer mlp_extractor.value_net.1 is ELU(alpha=0.5)": _put(
        "mlp_extractor.value_net.1", nn.ELU(0.5)
    ),
    "layer mlp_extractor.policy_net.3 is LeakyReLU(negative_slope=-0.5)": _put(
        "mlp_extractor.policy_net.3", nn.LeakyReLU(-0.5)
    ),
    "layer mlp_extractor.policy_net.1 is Softplus(beta=1.0, threshold=20.0)": _put(
        "mlp_extractor.policy_net.1", nn.Softplus()
    ),
    "layer mlp_extractor.policy_net.2 has no activation after it": _changed(
        lambda policy: policy.mlp_extractor.policy_net.pop(3)
    ),
    "value_net is Identity()": _put("value_net", nn.Identity()),
    "mlp_extractor.value_net is a Identity": _put("mlp_extractor.value_net", nn.Identity()),
    "action_net.bias is shared, absent or no parameter": _changed(_no_bias),
    "mlp_extractor.value_net.0.weight is shared, absent or no parameter": _changed(_tie),
    "extra is no part of the MLPs": _changed(_add_parameter),
    "parameters differ in type": _changed(lambda policy: policy.value_net.double()),
    "log_std is torch.bfloat16": _changed(lambda policy: policy.bfloat16()),
    "log_std is on meta": _changed(lambda policy: setattr(policy, "log_std", _meta())),
    "no parameter trains": _changed(lambda policy: policy.requires_grad_(False)),
    "log_std has a hook": _changed(lambda policy: policy.log_std.register_hook(lambda g: g)),
    "value_net.bias has a hook": _changed(
        lambda policy: policy.value_net.bias.register_post_accumulate_grad_hook(print)
    ),
    "value_net has a hook": _changed(
        lambda policy: policy.value_net.register_forward_hook(lambda *_: None)
    ),
    "mlp_extractor has a hook": _changed(
        lambda policy: policy.mlp_extractor.register_forward_pre_hook(lambda *_: None)
    ),
    "action_net has a hook": _changed(
        lambda policy: policy.action_net.register_full_backward_hook(lambda *_: None)
    ),
    "optimizer is AdamW": _policy_kwargs(optimizer_class=torch.optim.AdamW),
    "optimizer has 2 parameter groups": _changed(
        lambda policy: policy.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    ),
    "Adam has amsgrad": _group(amsgrad=True),
    "Adam has weight_decay": _group(weight_decay=0.1),
    "Adam has maximize": _group(maximize=True),
    "log_std is not in the optimizer": _changed(
        lambda policy: policy.optimizer.param_groups[0]["params"].pop(0)
    ),
    "optimizer has a hook": _changed(
        lambda policy: policy.optimizer.register_step_pre_hook(lambda *_: None)
    ),
}


def _meta() -> nn.Parameter:
    return nn.Parameter(torch.zeros(2, device="meta"))


@pytest.mark.parametrize("reason", UNSUPPORTED)
def test_what_is_not_covered_is_said(reason: str) -> None:
    model = UNSUPPORTED[reason]()
    said = unsupported(model.policy, model.policy.optimizer)
    assert said is not None
    assert said == reason


def test_an_extractor_that_trains_is_not_covered() -> None:
    class Front(torch_layers.BaseFeaturesExtractor):
        def __init__(self, space: spaces.Box) -> None:
            super().__init__(space, 4)
            self.linear = nn.Linear(5, 4)

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return self.linear(observations)

    policy = made("box", policy_kwargs={"features_extractor_class": Front}).policy
    said = unsupported(policy, policy.optimizer)
    assert said is not None and said.endswith("features_extractor.linear.weight trains")
    policy.features_extractor.requires_grad_(False)
    assert unsupported(policy, policy.optimizer) is None


def test_the_hooks_that_freeze_and_slow_layers_down_are_harmless() -> None:
    model = made("box")
    groups = layer_groups(model.policy)
    plans = {name: GroupPlan(lr_scale=0.5) for name in groups} | {"actor.0": GroupPlan(np.inf)}
    GroupScheduler(model.policy, groups, plans)
    assert model.policy.mlp_extractor.policy_net[0]._forward_pre_hooks
    assert unsupported(model.policy, model.policy.optimizer) is None
