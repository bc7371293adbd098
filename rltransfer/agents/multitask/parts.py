"""Tensors of multi-task agents by name, and agents made of other tasks and tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rltransfer.agents import classes as named
from rltransfer.policies.encoders import ClassEncoder
from rltransfer.policies.packing import Packing
from rltransfer.policies.tasks import PolicyTask

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

#: Arguments that policies of one task and of several have in common.
PASSED_ON = ("activation_fn", "ortho_init", "optimizer_class", "optimizer_kwargs")


def live_policy(agent: Agent) -> Any:
    """Build the multi-task policy of an agent, on the CPU."""
    return agent.build().policy


def first_linear(encoder: Any) -> nn.Linear:
    """The one linear layer of an encoder of vectors or classes."""
    return encoder.linear if isinstance(encoder, ClassEncoder) else encoder[0]


def encoder_prefixes(name: str) -> tuple[str, ...]:
    """What the tensors of an encoder begin with, those of its statistics too."""
    return f"actor.encoders.{name}.", f"critic.encoders.{name}.", f"observation_stats.{name}."


def head_prefixes(name: str) -> tuple[str, ...]:
    """What the tensors of an actor's head begin with."""
    return f"action_heads.{name}.", f"log_stds.{name}"


def of_parameter(moment: str) -> str:
    """Name of the parameter that a part of the optimizer's state belongs to."""
    return moment.rpartition("/")[0]  # names of tasks may hold one, too


def belongs(tensor: str, prefixes: Sequence[str]) -> bool:
    """Tell whether a tensor is one of a module, or the very one that is named."""
    return any(tensor.startswith(p) if p.endswith(".") else tensor == p for p in prefixes)


def with_tasks(
    agent: Agent,
    tasks: Sequence[PolicyTask],
    *,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor] | None,
    policy_kwargs: Mapping[str, Any],
    **changes: Any,
) -> Agent:
    """Make a multi-task agent of other tasks and tensors.

    Args:
        agent: What all else is taken from.
        tasks: Its tasks.
        weights: Its tensors.
        optimizer: State of the optimizer.
        policy_kwargs: Arguments of the policy, as JSON data, without the tasks.
        changes: Further fields of the agent.
    """
    packing = Packing(tasks)
    given = {**policy_kwargs, "tasks": named.encode(list(tasks), {})}
    ids = {task.id for task in tasks}
    card = dataclasses.replace(
        agent.card,
        task=", ".join(task.id for task in tasks),
        score=None,
        scores={id: score for id, score in agent.card.scores.items() if id in ids},
    )
    return dataclasses.replace(
        agent,
        card=card,
        policy_kwargs=given,
        observation_space=packing.observation_space,
        action_space=packing.action_space,
        weights={name: value.clone() for name, value in weights.items()},
        optimizer=optimizer,
        **changes,
    )
