"""Carrying an agent over into a fresh model of many tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rltransfer.carry import TransferReport, moments_of
from rltransfer.errors import RecipeError
from rltransfer.layers import layer_groups
from rltransfer.multitask.plans import groups_of_only
from rltransfer.multitask.starting import Start
from rltransfer.recipe import Recipe
from rltransfer.surgery import TensorCopy


@dataclass(frozen=True, kw_only=True, eq=False)
class Carried:
    """What was put into a model.

    Attributes:
        report: Where each tensor comes from.
        origin: What was carried over, by name of the parameter.
    """

    report: TransferReport
    origin: Mapping[str, torch.Tensor]


def carry_into(model: Any, start: Start, recipe: Recipe, fresh: Collection[str]) -> Carried:
    """Put an agent's tensors into a model of the same architecture.

    Args:
        model: A fresh model. Changed in place.
        start: What it begins with.
        recipe: The recipe that is followed.
        fresh: Names of tensors that stay as they are.

    Returns:
        Where each tensor comes from.

    Raises:
        RecipeError: The recipe wants the agent's moments, and it has none.
    """
    agent, policy = start.agent, model.policy
    if recipe.optimizer == "source" and not agent.optimizer:
        raise RecipeError(
            f"{agent.card.name} carries no optimizer moments: use a recipe with optimizer='fresh'"
        )
    carried = {name: value for name, value in agent.weights.items() if name not in fresh}
    policy.load_state_dict(policy.state_dict() | carried)
    for name, parameter in policy.named_parameters():
        moments = moments_of(agent, name, parameter, policy.optimizer) if name in carried else {}
        if moments and recipe.optimizer == "source":
            policy.optimizer.state[parameter] = moments
    groups = layer_groups(policy)
    new = _new_groups(start)
    tensors = [
        TensorCopy(
            group=name,
            key=key,
            action="reset" if key in fresh else new.get(name, "copied"),
            source_shape=tuple(agent.weights[key].shape),
            target_shape=tuple(agent.weights[key].shape),
        )
        for name, group in groups.items()
        for key in group.keys
    ]
    target = ", ".join(task.id for task in start.tasks)
    return Carried(
        report=TransferReport(agent.card.name, target, recipe, tuple(tensors)),
        origin={
            name: parameter.detach().clone()
            for name, parameter in policy.named_parameters()
            if name in carried
        },
    )


def _new_groups(start: Start) -> dict[str, str]:
    """What was done with the layer groups of new tasks."""
    found: dict[str, str] = {}
    new = [task for task in start.tasks if task.id not in start.known]
    for task in new:
        source = start.sources.get(task.id)
        action = "reset" if source is None else f"copied from {source}"
        for name in groups_of_only(start.tasks, [task.id]):
            found[name] = action
    for name in groups_of_only(start.tasks, [task.id for task in new]):
        found.setdefault(name, "reset")  # shared by new tasks alone
    return found
