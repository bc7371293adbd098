"""Refusing what a recipe asks for in vain: nothing is silently ignored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from gymnasium import spaces
from torch import nn

from rltransfer.errors import RecipeError
from rltransfer.index_maps import IndexMaps
from rltransfer.recipe import Recipe

if TYPE_CHECKING:
    from rltransfer.surgery import TensorCopy


def check_effects(policy: Any, recipe: Recipe, reset: Collection[str]) -> None:
    """Refuse choices about outputs and exploration that this policy has no place for.

    Args:
        policy: Fresh policy on the target's spaces.
        recipe: The recipe.
        reset: Names of the layer groups that start fresh.

    Raises:
        RecipeError: A choice would have no effect.
    """
    if not isinstance(recipe.log_std, str) and not hasattr(policy, "log_std"):
        raise RecipeError(
            f"log_std={recipe.log_std!r} is a floor for continuous actions, and the target has "
            f"{policy.action_space}: soften its logits with temperature instead, such as 2.0"
        )
    # What imitates the source translates its actions by outputs, whatever the head starts from.
    if recipe.outputs is not None and "actor.head" in reset and not recipe.imitate:
        raise RecipeError("outputs maps actions, but reset names actor.head: drop one of the two")
    if recipe.temperature == 1.0:
        return
    if isinstance(policy.action_space, spaces.Box):
        raise RecipeError(
            "temperature softens discrete actions, and the target's are continuous: "
            "set a floor with log_std instead, such as log_std=-0.7"
        )
    if "actor.head" in reset:
        raise RecipeError("temperature softens copied logits, but reset names actor.head: drop one")
    if not isinstance(getattr(policy, "action_net", None), nn.Linear):
        raise RecipeError(
            f"temperature needs a linear action_net: {type(policy).__name__} has none"
        )


def check_inputs(plan: Sequence[TensorCopy], recipe: Recipe, maps: IndexMaps) -> None:
    """Refuse input maps where no tensor has input columns.

    Args:
        plan: What happens to each tensor.
        recipe: The recipe.
        maps: Its index maps.

    Raises:
        RecipeError: The maps would have no effect.
    """
    entering = [copy for copy in plan if copy.group in maps.entry and copy.carried]
    if maps.inputs is None or not entering or any(c.action != "copied" for c in entering):
        return
    name = "pad_inputs" if recipe.pad_inputs else "inputs"
    raise RecipeError(
        f"{name} has no columns to act on, since the observation enters {entering[0].group} as an "
        "image: drop it, or wrap the target in a Gymnasium wrapper that shows what the source saw"
    )
