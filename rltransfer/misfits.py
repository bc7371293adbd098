"""Refusing tensors that do not fit the target, with the argument that cures it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError, SpaceMismatch
from rltransfer.index_maps import count_outputs, padding
from rltransfer.layer_naming import is_feature
from rltransfer.layers import LayerGroup, input_groups
from rltransfer.recipe import Recipe
from rltransfer.statistics import statistics_fit

if TYPE_CHECKING:
    from rltransfer.surgery import TensorCopy

LISTED = 6


def refuse_misfits(
    misfits: Sequence[TensorCopy],
    agent: Agent,
    policy: Any,
    groups: Mapping[str, LayerGroup],
    recipe: Recipe,
) -> None:
    """Refuse a plan with tensors that do not fit.

    Raises:
        SpaceMismatch: There are any; the message names them, their shapes, and a cure.
    """
    if not misfits:
        return
    shapes = [
        f"{c.group} {c.key}: source {c.source_shape or 'has none'}, target {c.target_shape}"
        for c in misfits[:LISTED]
    ]
    more = f"; and {len(misfits) - LISTED} more" if len(misfits) > LISTED else ""
    raise SpaceMismatch(
        f"{_differences(agent, policy)}, so {len(misfits)} tensor(s) do not fit: "
        f"{'; '.join(shapes)}{more}. Cure: {_cures(misfits, agent, policy, groups, recipe)}"
    )


def _differences(agent: Agent, policy: Any) -> str:
    pairs = {
        "observes": (agent.observation_space, policy.observation_space),
        "acts in": (agent.action_space, policy.action_space),
    }
    return (
        ", ".join(
            f"the source {verb} {source} and the target {target}"
            for verb, (source, target) in pairs.items()
            if source != target
        )
        or "the policies differ"
    )


def _cures(
    misfits: Sequence[TensorCopy],
    agent: Agent,
    policy: Any,
    groups: Mapping[str, LayerGroup],
    recipe: Recipe,
) -> str:
    wrong = {copy.group for copy in misfits}
    fresh = [*recipe.reset, *(name for name in groups if name in wrong)]
    fits = recipe.obs_stats == "reset" or statistics_fit(
        agent.normalization, policy.observation_space
    )
    statistics = "" if fits else " and obs_stats='reset'"
    cures = [f"start these layer groups fresh with reset={fresh!r}{statistics}"]
    inputs = set(input_groups(groups))
    if wrong & inputs and recipe.inputs is None and not recipe.pad_inputs:
        cures += _input_cure(agent, policy, rest=wrong - inputs)
    if "actor.head" in wrong and recipe.outputs is None:
        cures += _output_cure(agent.action_space, policy.action_space)
    return ", or ".join(cures)


def _input_cure(agent: Agent, policy: Any, *, rest: set[str]) -> list[str]:
    seen, shown = agent.observation_space, policy.observation_space
    if get_flattened_obs_dim(seen) > get_flattened_obs_dim(shown):
        flat = isinstance(shown, spaces.Box) and len(shown.shape) == 1
        return ["wrap the target in rltransfer.adapters.PadObservation"] if flat else []
    try:
        padding(seen, shown)
    except RecipeError:
        return []
    others = f" and reset={sorted(rest)!r}" if rest else ""
    return [f"keep the inputs, if the new ones come last, with pad_inputs=True{others}"]


def _output_cure(source: spaces.Space, target: spaces.Space) -> list[str]:
    if type(source) is not type(target) or not isinstance(target, (spaces.Discrete, spaces.Box)):
        return []
    known = count_outputs(source)
    outputs = [i if i < known else None for i in range(count_outputs(target))]
    return [f"say which action is which with outputs, such as outputs={outputs!r}"]


def refuse_leftovers(
    agent: Agent,
    target: Mapping[str, Any],
    groups: Mapping[str, LayerGroup],
    recipe: Recipe,
    fresh: Collection[str],
) -> None:
    """Refuse to leave source tensors behind that the target has no place for.

    They may stay behind when what they fed starts fresh: the actor's outputs for ``log_std``, and
    the first layers behind the extractor for the encoder of an observation that is gone.

    Raises:
        SpaceMismatch: It does not; the message names the groups to reset.
    """
    left = left_behind(agent, target)
    behind = input_groups([name for name in groups if not is_feature(name)])
    needed = {"actor.head"} if "log_std" in left else set()
    needed |= set(behind) if set(left) - {"log_std"} else set()
    missing = [name for name in groups if name in needed - set(fresh)]
    if missing:
        cure = [*recipe.reset, *missing]
        raise SpaceMismatch(
            f"the source has tensors that the target has no place for: {', '.join(left)}. "
            f"Cure: start fresh what they fed, with reset={cure!r}"
        )


def left_behind(agent: Agent, target: Mapping[str, Any]) -> list[str]:
    """Names of the source's tensors that the target has no place for."""
    return [key for key in agent.weights if key not in target]
