"""What a recipe means for a policy of many tasks, of which some may not be played."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, select
from rltransfer.policies.tasks import PolicyTask
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
    cure = "drop the others"
    if not started:
        cure += ", or give start, an agent to begin with"
    elif "reset" in recipe.to_dict():
        cure += "; to begin anew, leave start out"
    with_what = "many tasks" if started else "many tasks without a start"
    raise RecipeError(
        f"the recipe has {', '.join(others)}, and training on {with_what} takes "
        f"{', '.join(known)} alone: {cure}"
    )


def groups_of(tasks: Iterable[PolicyTask]) -> set[str]:
    """Names of the layer groups that belong to tasks: their encoders, heads and value heads."""
    return {
        name
        for task in tasks
        for name in (
            f"encoder.{task.encoder}",
            f"actor.head.{task.head}",
            f"actor.std.{task.head}",
            f"critic.head.{task.key}",
        )
    }


def groups_of_only(tasks: Sequence[PolicyTask], chosen: Collection[str]) -> set[str]:
    """Groups that belong to some of the tasks, chosen by id, and to no other."""
    others = groups_of(task for task in tasks if task.id not in chosen)
    return groups_of(task for task in tasks if task.id in chosen) - others


def plan(
    groups: Mapping[str, LayerGroup],
    recipe: Recipe,
    *,
    idle: Collection[str] = (),
    new: Collection[str] = (),
) -> dict[str, GroupPlan]:
    """Turn a recipe into one plan for each layer group.

    Args:
        groups: Layer groups of the policy.
        recipe: The recipe.
        idle: Groups of tasks that are not played: they never train.
        new: Groups of tasks that the start did not know: they train from the start, unless
            ``freeze`` has one by its very name. Fixed random features would be of no use, and
            ``freeze=["trunk"]`` is meant for what was learned.

    Raises:
        UnknownName: A pattern matches no group.
        RecipeError: The recipe contradicts itself, or means idle groups alone, or nothing trains.
    """
    spared = [f"!{name}" for name in groups if name in new and name not in recipe.freeze]
    meant = recipe.but(freeze=[*recipe.freeze, *spared]) if recipe.freeze else recipe
    plans = plan_groups(groups, meant)
    for field, pattern in _patterns(recipe):
        if set(select([pattern], groups)) <= set(idle):
            raise RecipeError(
                f"{field} names {pattern!r}, which belongs to tasks that are not played and never "
                "trains: drop it, or add the task to those that are played"
            )
    plans |= {name: GroupPlan(trains_from=math.inf) for name in groups if name in idle}
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
