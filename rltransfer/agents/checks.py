"""What must hold of every agent, however it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces

from rltransfer.agents import classes as named
from rltransfer.agents import hyperparameters, policies
from rltransfer.agents.multitask import names
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.errors import BadArgument, BadCheckpoint

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent


def check(agent: Agent) -> None:
    """Check an agent.

    Raises:
        BadArgument: A hyperparameter is out of range, the policy arguments are not JSON data, a
            weight is NaN or inf, or statistics do not fit the observations.
        BadCheckpoint: A multi-task policy does not say what its tasks are.
        UnknownName: The algorithm or a hyperparameter is unknown.
    """
    policies.algorithm_class(agent.algorithm)
    hyperparameters.check(agent.hyperparameters)
    _check_arguments(agent.policy_kwargs)
    names.ids(agent)
    if not agent.weights:
        raise BadArgument(f"agent {agent.card.name!r} has no weights")
    for part, tensors in (("weight", agent.weights), ("optimizer state", agent.optimizer or {})):
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise BadArgument(f"{part} {name!r} holds NaN or inf: the training diverged")
    if agent.normalization is not None:
        found = misfit(agent.normalization, agent.observation_space)
        if found is not None:
            raise BadArgument(
                f"{found}: let VecNormalize be the outermost wrapper of the training environments"
            )


def _check_arguments(policy_kwargs: Mapping[str, Any]) -> None:
    try:
        named.check(policy_kwargs)
        json.dumps(policy_kwargs, allow_nan=False)
    except (BadCheckpoint, TypeError, ValueError) as error:
        raise BadArgument(f"policy_kwargs are not JSON data: {error}") from error


def misfit(spec: Normalization, space: Any) -> str | None:
    """Say in which way statistics do not fit what a policy observes, or return None."""
    stats = spec.obs_stats
    if stats is None:
        return None
    if not isinstance(stats, dict):
        return _misshapen(stats, space, "observation statistics")
    if not isinstance(space, spaces.Dict):
        return f"observation statistics by key, but observations are {space!s:.200}"
    for key, part in stats.items():
        if key not in space.spaces:
            return f"observation statistics for {key!r:.60}, which is not observed"
        found = _misshapen(part, space.spaces[key], f"observation statistics of {key!r:.60}")
        if found is not None:
            return found
    return None


def _misshapen(stats: RunningStats, space: Any, what: str) -> str | None:
    if stats.shape == space.shape:
        return None
    return f"{what} have shape {stats.shape}, but the policy observes {space.shape}"
