"""Which policies have gradients that are written out here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import nn

from rltransfer.engine.closed_form.activations import activation_of
from rltransfer.engine.closed_form.objections import (
    in_hooks,
    in_methods,
    in_names,
    in_optimizer,
    in_tensors,
)
from rltransfer.engine.replaced import replaced_methods

POLICIES = (ActorCriticPolicy, ActorCriticCnnPolicy, MultiInputActorCriticPolicy)
DISTRIBUTIONS = (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
# Those with a parameter of their own.
GAUSSIANS = (DiagGaussianDistribution, StateDependentNoiseDistribution)
# What is computed here instead of by torch.
OWN = ("mlp_extractor", "action_net", "value_net")
FRONTS = ("features_extractor.", "pi_features_extractor.", "vf_features_extractor.")


def unsupported(policy: Any, optimizer: Any) -> str | None:
    """Say why closed form cannot train a policy.

    It can where the policy is one of Stable-Baselines3's own, whose only trained parts are plain
    MLPs on the CPU with Tanh, ReLU, LeakyReLU or ELU, and a categorical, Bernoulli or diagonal
    normal distribution; and where the optimizer is torch's Adam with one group.

    Args:
        policy: The policy, as it trains now.
        optimizer: Its optimizer.

    Returns:
        A short phrase for a report; None if it can.
    """
    return next(_objections(policy, optimizer), None)


def cannot_act(policy: Any) -> str | None:
    """Say why closed form cannot act by a policy that nothing trains meanwhile.

    It can where it could train the policy, whatever the optimizer and whichever parts are frozen;
    also where actions are explored by gSDE, unless they are squashed.

    Args:
        policy: The policy, as it is now.

    Returns:
        A short phrase; None if it can.
    """
    return next(_objections_to_acting(policy), None)


def _objections(policy: Any, optimizer: Any) -> Iterator[str]:
    # In this order: each looks only at what those before it have found in place.
    yield from _kind(policy)
    yield from _layers(policy)
    yield from _training(policy)
    yield from _parameters(policy)
    yield from in_hooks(policy)
    yield from in_optimizer(policy, optimizer)


def _objections_to_acting(policy: Any) -> Iterator[str]:
    yield from _kind(policy, (*DISTRIBUTIONS, StateDependentNoiseDistribution))
    if policy.squash_output:
        yield "actions are squashed"
    yield from _layers(policy)
    yield from _parameters(policy)
    yield from _deviations(policy)
    yield from in_hooks(policy)


def _kind(policy: Any, distributions: tuple[type, ...] = DISTRIBUTIONS) -> Iterator[str]:
    if type(policy) not in POLICIES:
        yield f"policy is a {type(policy).__name__}"
    elif policy.use_sde and StateDependentNoiseDistribution not in distributions:
        yield "actions are explored by gSDE"
    elif type(policy.action_dist) not in distributions:
        yield f"action distribution is a {type(policy.action_dist).__name__}"
    elif type(policy.mlp_extractor) is not MlpExtractor:
        yield f"mlp_extractor is a {type(policy.mlp_extractor).__name__}"
    yield from in_methods(policy)
    for name in replaced_methods(policy.action_dist):
        yield f"{name} of the action distribution was replaced"


def _layers(policy: Any) -> Iterator[str]:
    for path in ("mlp_extractor.policy_net", "mlp_extractor.value_net"):
        net = policy.get_submodule(path)
        if type(net) is not nn.Sequential:
            yield f"{path} is a {type(net).__name__}"
            return
        for i, layer in enumerate(net):
            fits = type(layer) is nn.Linear if i % 2 == 0 else activation_of(layer) is not None
            if not fits:
                yield f"layer {path}.{i} is {layer}"
        if len(net) % 2:
            yield f"layer {path}.{len(net) - 1} has no activation after it"
    for path in ("action_net", "value_net"):
        if type(policy.get_submodule(path)) is not nn.Linear:
            yield f"{path} is {policy.get_submodule(path)}"


def _training(policy: Any) -> Iterator[str]:
    for name, parameter in policy.named_parameters():
        if name.startswith(FRONTS) and parameter.requires_grad:
            yield f"{name} trains"
    own = [one for name, one in policy.named_parameters() if not name.startswith(FRONTS)]
    if not any(parameter.requires_grad for parameter in own):
        yield "no parameter trains"


def _parameters(policy: Any) -> Iterator[str]:
    named = policy.named_parameters()
    own = {name: parameter for name, parameter in named if not name.startswith(FRONTS)}
    yield from _unknown_parameters(policy, own)
    yield from in_tensors(own)


def _deviations(policy: Any) -> Iterator[str]:
    """Find what torch's normal distribution refuses, in words of its own."""
    if type(policy.action_dist) in GAUSSIANS:
        deviations = policy.log_std.detach().exp()
        if not bool(((deviations > 0) & deviations.isfinite()).all()):
            yield "standard deviations are not above 0 and finite"


def _unknown_parameters(policy: Any, own: dict[str, nn.Parameter]) -> Iterator[str]:
    linear = [
        f"{path}.{tensor}"
        for path, module in policy.named_modules(remove_duplicate=False)
        if path.startswith(OWN) and type(module) is nn.Linear
        for tensor in ("weight", "bias")
    ]
    gaussian = type(policy.action_dist) in GAUSSIANS
    expected = {*linear, "log_std"} if gaussian else set(linear)
    yield from in_names(own, expected)
