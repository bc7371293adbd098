"""Which multi-task policies have gradients that are written out here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from rltransfer.engine.closed_form.activations import activation_of
from rltransfer.engine.closed_form.coverage import DISTRIBUTIONS
from rltransfer.engine.closed_form.objections import (
    in_hooks,
    in_methods,
    in_names,
    in_optimizer,
    in_tensors,
)
from rltransfer.engine.replaced import replaced_methods
from rltransfer.policies.encoders import VectorEncoder
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.noise import CorrelatedNoise
from rltransfer.policies.observation_stats import ObservationStats
from rltransfer.policies.trunks import MlpTrunk
from rltransfer.policies.value_head import ValueHead


def unsupported(policy: Any, optimizer: Any) -> str | None:
    """Say why closed form cannot train a multi-task policy.

    It can where encoders read vectors, the trunk is a plain MLP, actor and critic share no layer,
    tasks are told apart by their heads alone, and actions have no masks; with Tanh, ReLU, LeakyReLU
    or ELU on the CPU; and where the optimizer is torch's Adam with one group.

    Args:
        policy: The policy, as it trains now.
        optimizer: Its optimizer.

    Returns:
        A short phrase for a report; None if it can.
    """
    return next(_objections(policy, optimizer), None)


def _objections(policy: Any, optimizer: Any) -> Iterator[str]:
    # In this order: each looks only at what those before it have found in place.
    yield from _kind(policy)
    yield from in_methods(policy)
    yield from _streams(policy)
    yield from _heads(policy)
    yield from _parameters(policy)
    yield from in_hooks(policy)
    yield from in_optimizer(policy, optimizer)


def _kind(policy: Any) -> Iterator[str]:
    if type(policy) is not MultiTaskPolicy:
        yield f"policy is a {type(policy).__name__}"
        return
    if policy.context is not None:
        yield f"the trunk is conditioned by a {type(policy.context).__name__}"
    if policy.critic is policy.actor:
        yield "actor and critic share their layers"
    for task in policy.tasks:
        if task.masked:
            yield f"{task.id} has action masks"


def _streams(policy: Any) -> Iterator[str]:
    for path in ("actor", "critic"):
        stream = getattr(policy, path)
        if type(stream.trunk) is not MlpTrunk:
            yield f"{path}.trunk is a {type(stream.trunk).__name__}"
            return
        for name, encoder in stream.encoders.items():
            if type(encoder) is not VectorEncoder:
                yield f"encoder {name} is a {type(encoder).__name__}"
            elif not _is_layer(encoder):
                yield f"encoder {name} is {encoder}"
        for i, layer in enumerate(stream.trunk.layers):
            if type(layer) is not nn.Sequential or not _is_layer(layer):
                yield f"layer {path}.trunk.layers.{i} is {layer}"
        if len({activation_of(encoder[1]) for encoder in stream.encoders.values()}) > 1:
            yield "activations of the encoders differ"

    names = list(policy.actor.encoders)
    if list(policy.critic.encoders) != names or set(names) != {t.encoder for t in policy.tasks}:
        yield "encoders are not those of the tasks, or not in one order"


def _is_layer(block: Any) -> bool:
    return len(block) == 2 and type(block[0]) is nn.Linear and activation_of(block[1]) is not None


def _heads(policy: Any) -> Iterator[str]:
    for kinds, expected in (
        (policy.action_heads, nn.Linear),
        (policy.value_heads, ValueHead),
        (policy.observation_stats, ObservationStats),
        (policy.noise, CorrelatedNoise),
    ):
        for name, module in kinds.items():
            if type(module) is not expected:
                yield f"{name} has a {type(module).__name__} instead of a {expected.__name__}"
    for key, head in policy.value_heads.items():
        if type(head.linear) is not nn.Linear:
            yield f"value_heads.{key}.linear is {head.linear}"
    for one in policy.distributions:
        if type(one._distribution) not in DISTRIBUTIONS:
            yield f"action distribution is a {type(one._distribution).__name__}"
        for name in (*replaced_methods(one), *replaced_methods(one._distribution)):
            yield f"{name} of the action distribution was replaced"


def _parameters(policy: Any) -> Iterator[str]:
    own = dict(policy.named_parameters())
    linear = {
        f"{path}.{tensor}"
        for path, module in policy.named_modules(remove_duplicate=False)
        if type(module) is nn.Linear
        for tensor in ("weight", "bias")
    }
    yield from in_names(own, linear | {f"log_stds.{name}" for name in policy.log_stds})
    yield from in_tensors(own)
    if not any(parameter.requires_grad for parameter in own.values()):
        yield "no parameter trains"
