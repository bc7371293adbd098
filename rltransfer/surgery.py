"""Carrying tensors over from a source policy: the plan first, then the copy, all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rltransfer.agents import Agent
from rltransfer.effects import check_effects, check_inputs
from rltransfer.index_maps import IndexMaps, Indices
from rltransfer.layers import LayerGroup, select
from rltransfer.misfits import refuse_leftovers, refuse_misfits
from rltransfer.recipe import Recipe


@dataclass(frozen=True)
class TensorCopy:
    """What happens to one tensor of the target policy.

    Attributes:
        group: Its layer group.
        key: Its ``state_dict`` key.
        action: ``"copied"``, ``"padded"`` or ``"mapped"`` from the source, ``"reset"``,
            ``"refit"`` after the first rollouts, or ``"copied from NAME"``, another agent.
        source_shape: Shape in the source, None if the source has no such tensor.
        target_shape: Shape in the target.
    """

    group: str
    key: str
    action: str
    source_shape: tuple[int, ...] | None
    target_shape: tuple[int, ...]

    @property
    def carried(self) -> bool:
        """Whether it comes from the source."""
        return self.action in ("copied", "padded", "mapped")


def plan_copy(
    agent: Agent,
    policy: Any,
    groups: Mapping[str, LayerGroup],
    recipe: Recipe,
    maps: IndexMaps,
    also_fresh: Sequence[str] = (),
) -> list[TensorCopy]:
    """Decide for every tensor of the target policy where it comes from.

    Args:
        agent: The source.
        policy: Fresh policy on the target's spaces.
        groups: Its layer groups.
        recipe: The recipe.
        maps: From :func:`rltransfer.index_maps.index_maps`.
        also_fresh: Names of groups that start fresh besides those that ``reset`` names.

    Raises:
        SpaceMismatch: A tensor does not fit and the recipe does not say what to do about it.
        RecipeError: The recipe asks for something that has no effect on this policy.
    """
    fresh = {*(select(recipe.reset, groups) if recipe.reset else []), *also_fresh}
    check_effects(policy, recipe, fresh)
    plan = plan_tensors(agent, policy, groups, recipe, maps, fresh)
    misfits = [copy for copy in plan if copy.action == "misfit"]
    refuse_misfits(misfits, agent, policy, groups, recipe)
    refuse_leftovers(agent, policy.state_dict(), groups, recipe, fresh)
    check_inputs(plan, recipe, maps)
    return plan


def plan_tensors(
    agent: Agent,
    policy: Any,
    groups: Mapping[str, LayerGroup],
    recipe: Recipe,
    maps: IndexMaps,
    fresh: Collection[str],
) -> list[TensorCopy]:
    """As :func:`plan_copy`, but what does not fit is marked as ``"misfit"``.

    Args:
        agent: The source.
        policy: Fresh policy on the target's spaces.
        groups: Its layer groups.
        recipe: The recipe.
        maps: Its index maps.
        fresh: Names of all groups that start fresh.
    """
    target = policy.state_dict()
    plan = []
    for group in groups.values():
        for key in group.keys:
            source = agent.weights.get(key)
            before = None if source is None else tuple(source.shape)
            after = tuple(target[key].shape)
            reset = group.name in fresh or (key == "log_std" and recipe.log_std == "reset")
            action = "reset" if reset else _action(group.name, key, before, after, maps)
            plan.append(TensorCopy(group.name, key, action, before, after))
    return plan


def unfit_groups(
    agent: Agent, policy: Any, groups: Mapping[str, LayerGroup], recipe: Recipe, maps: IndexMaps
) -> list[str]:
    """Names of the groups that cannot be carried over, and so would have to be reset."""
    plan = plan_tensors(agent, policy, groups, recipe, maps, fresh=())
    return list(dict.fromkeys(copy.group for copy in plan if copy.action == "misfit"))


def carried_entries(plan: Sequence[TensorCopy], maps: IndexMaps) -> dict[str, torch.Tensor]:
    """Which entries of padded and mapped tensors come from the source.

    Args:
        plan: The plan.
        maps: The recipe's index maps.

    Returns:
        Masks by ``state_dict`` key, of the target's shapes.
    """
    found = {}
    for copy in plan:
        if copy.action in ("padded", "mapped") and copy.source_shape is not None:
            mask = torch.ones(copy.target_shape, dtype=torch.bool)
            axes = _axes(copy.group, copy.key, copy.source_shape, maps)
            for axis, (_, indices) in axes.items():
                new = torch.tensor([i for i, index in enumerate(indices) if index is None])
                mask.index_fill_(axis, new.long(), False)
            found[copy.key] = mask
    return found


def apply_copy(
    agent: Agent, policy: Any, plan: Sequence[TensorCopy], maps: IndexMaps, recipe: Recipe
) -> None:
    """Load the planned tensors into the policy, all or nothing."""
    state = policy.state_dict()
    for copy in plan:
        if copy.carried:
            state[copy.key] = _carried(copy, agent.weights[copy.key], state[copy.key], maps)
    if recipe.temperature != 1.0:
        for key in ("action_net.weight", "action_net.bias"):
            state[key] = state[key] / recipe.temperature
    if "log_std" in state:
        state["log_std"] = _exploration(state["log_std"], policy, recipe)
    policy.load_state_dict(state, strict=True)


def _action(
    group: str,
    key: str,
    source: tuple[int, ...] | None,
    target: tuple[int, ...],
    maps: IndexMaps,
) -> str:
    if source is None or len(source) != len(target):
        return "misfit"
    if (maps.other_inputs and group in maps.entry) or (maps.other_outputs and _acts(group, key)):
        return "misfit"
    axes = _axes(group, key, source, maps)
    expected = list(source)
    for axis, (count, indices) in axes.items():
        if source[axis] != count:
            return "misfit"
        expected[axis] = len(indices)
    if tuple(expected) != target:
        return "misfit"
    return "copied" if not axes else "padded" if list(axes) == [1] and maps.pads else "mapped"


def _axes(
    group: str, key: str, shape: tuple[int, ...], maps: IndexMaps
) -> dict[int, tuple[int, Indices]]:
    """Axes of a tensor that are mapped: how many entries the source has, and their indices."""
    axes: dict[int, tuple[int, Indices]] = {}
    axis = len(shape) - 1 if key == "log_std" else 0
    # gSDE without full_std has one column for all actions.
    one_for_all = key == "log_std" and shape[axis] == 1 < maps.source_outputs
    if maps.outputs is not None and _acts(group, key) and not one_for_all:
        axes[axis] = maps.source_outputs, maps.outputs
    if maps.inputs is not None and key in maps.columns:
        axes[1] = maps.source_inputs, maps.inputs
    return axes


def _acts(group: str, key: str) -> bool:
    """Whether a tensor has an axis that counts actions: rows of the head, columns of log_std."""
    return group == "actor.head" or key == "log_std"


def _carried(
    copy: TensorCopy, source: torch.Tensor, fresh: torch.Tensor, maps: IndexMaps
) -> torch.Tensor:
    carried = source.to(fresh.device, fresh.dtype)
    for axis, (_, indices) in _axes(copy.group, copy.key, tuple(source.shape), maps).items():
        known = torch.tensor([index or 0 for index in indices], device=fresh.device)
        picked = carried.index_select(axis, known)
        for i, index in enumerate(indices):
            if index is None:
                entry = picked.select(axis, i)
                entry.copy_(_new_entry(copy, carried, fresh.select(axis, i), maps))
        carried = picked
    return carried


def _new_entry(
    copy: TensorCopy, source: torch.Tensor, fresh: torch.Tensor, maps: IndexMaps
) -> torch.Tensor:
    """New inputs and actions: zero weights, a neutral bias, the fresh standard deviation."""
    if copy.key == "log_std":
        return fresh
    neutral = source.mean() if source.dim() == 1 and maps.softmax else torch.zeros(())
    return neutral.to(fresh.device)


def _exploration(log_std: torch.Tensor, policy: Any, recipe: Recipe) -> torch.Tensor:
    if recipe.log_std == "copy":
        return log_std
    if recipe.log_std == "reset":
        return torch.full_like(log_std, float(policy.log_std_init))
    return log_std.clamp(min=float(recipe.log_std))
