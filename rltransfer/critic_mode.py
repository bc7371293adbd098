"""What becomes of the source's critic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, select
from rltransfer.methods import Shaping
from rltransfer.recipe import Recipe

HEAD = "critic.head"


def critic_mode(agent: Agent, model: Any, groups: Mapping[str, LayerGroup], recipe: Recipe) -> str:
    """Resolve ``critic="auto"``, and refuse what contradicts it.

    A critic can be kept when it still says what it said: its own layers are the source's, and
    values are on the source's scale, which gamma and the normalization of rewards set.

    Args:
        agent: The source.
        model: The fresh model on the target.
        groups: Layer groups of its policy.
        recipe: The recipe.

    Returns:
        ``"keep"``, ``"reset"`` or ``"refit"``.

    Raises:
        RecipeError: The recipe contradicts itself, or the policy has no head that can be refitted.
    """
    fresh = set(select(recipe.reset, groups)) if recipe.reset else set()
    if recipe.critic == "keep":
        _check_keep([name for name in groups if name in fresh and not name.startswith("actor.")])
        _check_rewards(recipe)
    mode = recipe.critic if recipe.critic != "auto" else _auto(agent, model, groups, recipe, fresh)
    if mode == "refit":
        _check_refit(model.policy, groups, recipe)
    return mode


def _auto(
    agent: Agent, model: Any, groups: Mapping[str, LayerGroup], recipe: Recipe, fresh: set[str]
) -> str:
    own = _own(groups)
    if own and set(own) <= fresh:
        return "reset"
    below = [name for name in fresh if not name.startswith("actor.")]
    scaled = agent.normalization is not None and agent.normalization.reward
    rescaled = scaled and recipe.return_stats == "reset"
    same = agent.hyperparameters["gamma"] == model.gamma and not rescaled and not _shaped(recipe)
    return "keep" if same and not below else "refit"


def critic_groups(mode: str, groups: Mapping[str, LayerGroup], recipe: Recipe) -> list[str]:
    """Layer groups that start fresh because of what becomes of the critic.

    Raises:
        RecipeError: The critic is to be reset, and no layer group is the critic's.
    """
    if mode == "refit":
        return [HEAD]
    if mode == "keep":
        return []
    own = _own(groups)
    if not own and set(select(recipe.reset, groups) if recipe.reset else []) != set(groups):
        raise RecipeError("critic is 'reset', but no layer group begins with 'critic.'")
    return own


def _own(groups: Mapping[str, LayerGroup]) -> list[str]:
    return [name for name in groups if name.startswith("critic.")]


def _check_keep(fresh: list[str]) -> None:
    if fresh:
        raise RecipeError(
            f"critic is 'keep', but reset names {fresh[0]}, on which it builds: drop one of the "
            "two, or use critic='refit'"
        )


def _shaped(recipe: Recipe) -> bool:
    return any(isinstance(one, Shaping) for one in recipe.methods)


def _check_rewards(recipe: Recipe) -> None:
    if _shaped(recipe):
        raise RecipeError(
            "critic is 'keep', but Shaping() changes the rewards that it is right about: use "
            "critic='refit' or critic='auto'"
        )


def _check_refit(policy: Any, groups: Mapping[str, LayerGroup], recipe: Recipe) -> None:
    if HEAD not in groups or not isinstance(getattr(policy, "value_net", None), nn.Linear):
        raise RecipeError(
            f"refitting the critic needs a linear value_net in {HEAD}, which "
            f"{type(policy).__name__} does not have: use critic='keep' or critic='reset'"
        )
    if recipe.freeze and HEAD in select(recipe.freeze, groups):
        raise RecipeError(
            f"{HEAD} is frozen, but it has to be refitted on the target: add '!{HEAD}' to freeze, "
            "or use critic='keep'"
        )


@torch.no_grad()
def blank_head(policy: Any) -> None:
    """With a head of zeros, no old value leaks into the returns that the refit will see."""
    policy.value_net.weight.zero_()
    policy.value_net.bias.zero_()
