"""What a recipe means for a policy of many tasks, of which some may not be played."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, layer_groups, select
from rltransfer.policies.networks import TaskNetworks
from rltransfer.recipe import Recipe
from rltransfer.training.schedule import GroupPlan, plan_groups

FIELDS = ("freeze", "thaw", "thaw_by", "lr_decay", "lr_scale")
STARTED = (*FIELDS, "reset", "optimizer")


def check_recipe(recipe: Recipe, *, started: bool) -> None:
    """Refuse fields that mean nothing here.

    Args:
        recipe: The recipe.
        started: Whether training starts from an agent.

    Raises:
        RecipeError: There is such a field; the message names all of them.
    """
    known = STARTED if started else FIELDS
    others = [name for name in recipe.to_dict() if name not in known]
    if not others:
        return
    hint = "" if started else ", or give start, an agent to begin with"
    scratch = "; to begin anew, leave start out" if started and "reset" in recipe.to_dict() else ""
    raise RecipeError(
        f"the recipe has {', '.join(others)}, which {'a start of many tasks' if started else 'no'}"
        f"{' does' if started else ' start does'} not apply: it takes {', '.join(known)}; drop the "
        f"others{hint}{scratch}"
    )


def idle_groups(policy: TaskNetworks, played: Collection[str]) -> list[str]:
    """Layer groups that belong to tasks that are not played, and to no other."""
    busy: set[str] = set()
    owned: set[str] = set()
    for task in policy.tasks:
        own = {
            f"encoder.{task.encoder}",
            f"actor.head.{task.head}",
            f"actor.std.{task.head}",
            f"critic.head.{task.key}",
        }
        owned |= own
        busy |= own if task.id in played else set()
    return [name for name in layer_groups(policy) if name in owned - busy]


def plan(
    groups: Mapping[str, LayerGroup], recipe: Recipe, idle: Collection[str]
) -> dict[str, GroupPlan]:
    """Turn a recipe into one plan for each layer group.

    Args:
        groups: Layer groups of the policy.
        recipe: The recipe.
        idle: Groups of tasks that are not played: they never train.

    Raises:
        UnknownName: A pattern matches no group.
        RecipeError: The recipe contradicts itself, or means idle groups alone, or nothing trains.
    """
    plans = plan_groups(groups, recipe)
    for field, pattern in _patterns(recipe):
        if set(select([pattern], groups)) <= set(idle):
            raise RecipeError(
                f"{field} names {pattern!r}, which belongs to tasks that are not played and never "
                "trains: drop it, or add the task to those that are played"
            )
    plans |= dict.fromkeys(idle, GroupPlan(trains_from=math.inf))
    if not any(plans[name].trains_from == 0 and groups[name].parameters for name in groups):
        raise RecipeError(
            "nothing trains at the start: the recipe freezes all that the played tasks use; leave "
            f"a group of theirs out of freeze. Groups: {', '.join(groups)}"
        )
    return plans


def fresh_keys(groups: Mapping[str, LayerGroup], recipe: Recipe, idle: Collection[str]) -> set[str]:
    """Names of the tensors that start anew; of tasks that are not played, none does."""
    names = select(recipe.reset, groups) if recipe.reset else []
    return {key for name in names if name not in idle for key in groups[name].keys}


def _patterns(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Patterns that say how something trains, which what never trains cannot follow."""
    if not isinstance(recipe.thaw, str):
        yield from (("thaw", pattern) for pattern in recipe.thaw)
    yield from (("lr_scale", pattern) for pattern in recipe.lr_scale)
    yield from (("reset", one) for one in recipe.reset if not one.startswith("!"))
