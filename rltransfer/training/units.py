"""Hidden units of a policy's actor and critic: their layers, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

BOUNDED = (nn.Tanh,)
"""Activations whose units stop to learn at either end."""
RECTIFYING = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU)
"""Activations whose units stop to learn near zero; those of ELU do so near -1."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """One layer of hidden units.

    Attributes:
        name: As its layer group, such as ``actor.0``.
        incoming: Weights and biases into its units.
        activation: What its units are made of.
        outgoing: Weights out of them.
    """

    name: str
    incoming: nn.Linear
    activation: nn.Module
    outgoing: nn.Linear


def hidden_layers(policy: Any) -> list[Hidden]:
    """List the hidden layers of actor and critic, without those of a features extractor.

    Args:
        policy: The policy.

    Returns:
        From input to output, the actor's first; empty where there are none, or where actor or
        critic is no chain of linear layers with an activation after each.
    """
    nets = getattr(policy, "mlp_extractor", None)
    branches = (("actor", "policy_net", "action_net"), ("critic", "value_net", "value_net"))
    found: list[Hidden] = []
    for branch, net, head in branches:
        chain = [*getattr(nets, net, []), getattr(policy, head, None)]
        if not _alternates(chain):
            return []
        for i in range(0, len(chain) - 1, 2):
            found.append(Hidden(f"{branch}.{i // 2}", *chain[i : i + 3]))
    return found


def _alternates(chain: list[Any]) -> bool:
    linear = all(isinstance(one, nn.Linear) for one in chain[::2])
    return linear and not any(any(one.parameters()) for one in chain[1::2]) and len(chain) % 2 == 1


@torch.no_grad()
def outputs(policy: Any, observations: Any) -> dict[str, Tensor]:
    """What hidden units say.

    Args:
        policy: One that has :func:`hidden_layers`.
        observations: As the policy sees them: (B, ...), or a dict of such.

    Returns:
        By name of the layer, each shape (B, units).
    """
    mode, found, layers = policy.training, {}, hidden_layers(policy)
    policy.set_training_mode(False)
    for branch in ("actor", "critic"):
        said = _features(policy, observations, actor=branch == "actor")
        for layer in layers:
            if layer.name.startswith(branch):
                said = found[layer.name] = layer.activation(layer.incoming(said))
    policy.set_training_mode(mode)
    return found


def _features(policy: Any, observations: Any, *, actor: bool) -> Tensor:
    extractor = policy.pi_features_extractor if actor else policy.vf_features_extractor
    # A policy's own method gives both kinds of features where actor and critic share none.
    return BasePolicy.extract_features(policy, observations, extractor)


def some(observations: Any, most: int) -> Any:
    """Pick rows that are spread evenly.

    Args:
        observations: Shape (N, ...), or a dict of such.
        most: How many, at most.
    """
    if isinstance(observations, dict):
        return {key: some(part, most) for key, part in observations.items()}
    step = -(-len(observations) // most)
    return observations[::step]
