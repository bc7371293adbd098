"""From a live Stable-Baselines3 model to the fields of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rltransfer.agents import classes as named
from rltransfer.agents import hyperparameters, policies, vec_statistics
from rltransfer.errors import BadArgument
from rltransfer.policies.networks import TaskNetworks


def fields_of(
    model: Any, *, optimizer: bool, overrides: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Read the fields of an agent, all but its card, from a live model.

    Args:
        model: A PPO, MaskablePPO or RecurrentPPO, or a subclass.
        optimizer: Whether to take the state of the optimizer too.
        overrides: Hyperparameters to take instead of the model's.

    Raises:
        BadArgument: The model is of another kind, or something in it cannot be stored as data.
    """
    algorithm = policies.algorithm_name(model)
    found: dict[str, type] = {}
    normalizer = model.get_vec_normalize_env()
    return {
        "algorithm": algorithm,
        "policy": policies.policy_name(model, found),
        "policy_kwargs": named.encode(_policy_kwargs(model), found),
        "observation_space": model.policy.observation_space,
        "action_space": model.policy.action_space,
        "weights": _weights(model.policy),
        "hyperparameters": hyperparameters.read(model, overrides),
        "normalization": vec_statistics.read(normalizer) if normalizer else None,
        "optimizer": _moments(model.policy) if optimizer else None,
        "classes": found,
    }


def _policy_kwargs(model: Any) -> Mapping[str, Any]:
    """The arguments as data can hold them: tasks may have been given in other forms."""
    if not isinstance(model.policy, TaskNetworks):
        return model.policy_kwargs
    given = {**model.policy_kwargs, "tasks": list(model.policy.tasks)}
    vectors = (given.get("conditioning_kwargs") or {}).get("vectors")
    if vectors is not None:
        rows = [[float(number) for number in row] for row in vectors]
        given["conditioning_kwargs"] = {**given["conditioning_kwargs"], "vectors": rows}
    return given


def _weights(policy: torch.nn.Module) -> dict[str, torch.Tensor]:
    weights = {}
    # Aliases, such as pi_features_extractor, are kept: a strict load asks for every name.
    for name, value in policy.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise BadArgument(
                f"the policy keeps {name!r} as {type(value).__name__}, expected a tensor: "
                "override get_extra_state of that module, or register a buffer"
            )
        weights[name] = _own(value)
    return weights


def _moments(policy: Any) -> dict[str, torch.Tensor]:
    """Read the state of the optimizer by the names of the parameters, not by their order."""
    moments = {}
    for name, parameter in policy.named_parameters():
        for key, value in policy.optimizer.state.get(parameter, {}).items():
            if value is None:
                continue
            if not isinstance(value, torch.Tensor | int | float):
                raise BadArgument(
                    f"the optimizer keeps {key!r} of {name} as {type(value).__name__}, which "
                    "cannot be stored: use Agent.from_model(..., optimizer=False)"
                )
            moments[f"{name}/{key}"] = _own(torch.as_tensor(value))
    return moments


def _own(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
