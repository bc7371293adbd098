"""Carrying a source agent over into a fresh model: tensors, critic, moments and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecNormalize

from rltransfer.agents import Agent
from rltransfer.choice import Choice
from rltransfer.critic_mode import blank_head, critic_groups, critic_mode
from rltransfer.equipping import equip
from rltransfer.errors import RecipeError
from rltransfer.growing import growth_notes
from rltransfer.guiding import check_guides, guide_of, shape
from rltransfer.index_maps import IndexMaps, index_maps
from rltransfer.layers import layer_groups
from rltransfer.misfits import left_behind
from rltransfer.random_streams import forked
from rltransfer.recipe import Recipe
from rltransfer.registry import id_of
from rltransfer.statistics import carry_statistics, fix_observations
from rltransfer.surgery import TensorCopy, apply_copy, carried_entries, plan_copy
from rltransfer.training.critic import CriticRefit
from rltransfer.training.ppo import TransferMixin
from rltransfer.training.schedule import GroupScheduler, plan_groups
from rltransfer.training.transfer_state import Transfer
from rltransfer.vec import normalize


@dataclass(frozen=True)
class TransferReport:
    """What was carried over, and how.

    Attributes:
        source: Name of the source agent.
        target: Gymnasium id of the target.
        recipe: The recipe that was followed; after ``"auto"``, the one that was chosen.
        tensors: What happened to each tensor.
        notes: What happened to everything else, in words, by name.
        choice: What ``"auto"`` measured and decided, if it was asked.
    """

    source: str
    target: str
    recipe: Recipe
    tensors: tuple[TensorCopy, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    choice: Choice | None = None


def carry_over(
    model: TransferMixin,
    agent: Agent,
    target: str | EnvSpec,
    recipe: Recipe,
    choice: Choice | None = None,
    masks: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> None:
    """Make a fresh model start from a source, as a recipe says.

    Args:
        model: A fresh model on the target, with the source's architecture. Changed in place.
        agent: The source.
        target: Gymnasium id or spec of the target.
        recipe: The recipe to follow.
        choice: How it was chosen, if ``"auto"`` chose it.
        masks: Which entries train, of the weights that a widened source holds.

    Raises:
        SpaceMismatch: The spaces differ and the recipe does not bridge them.
        RecipeError: The recipe does not fit the policy.
        UnknownName: It names a layer group that the policy does not have.
    """
    groups = layer_groups(model.policy)
    critic, name = critic_mode(agent, model, groups, recipe), id_of(target)
    also = critic_groups(critic, groups, recipe)
    maps = index_maps(agent, model.policy, groups, recipe)
    tensors = plan_copy(agent, model.policy, groups, recipe, maps, also)
    plans = plan_groups(groups, recipe.but(reset=[*recipe.reset, *also]))
    apply_copy(agent, model.policy, tensors, maps, recipe)
    _refresh_noise(model)
    if critic == "refit":
        blank_head(model.policy)
        tensors = [replace(c, action="refit") if c.group == "critic.head" else c for c in tensors]
    check_guides(model, recipe)
    guide, measured = guide_of(model, agent, recipe)
    shape(model, agent, recipe)
    notes = {
        "critic": _CRITIC_WORDS[critic].format(n=recipe.refit_rollouts),
        **_exploration_notes(model, recipe),
        "optimizer": _carry_moments(model, agent, tensors, recipe),
        **_carry_normalization(model, agent, recipe, maps, kept_critic=critic == "keep"),
        **growth_notes(recipe, masks, dict(model.policy.named_parameters())),
        **_space_notes(model, agent),
        **({"guide": f"the source plays {guide.horizon.steps} steps at first"} if guide else {}),
    }
    model.transfer = Transfer(
        scheduler=GroupScheduler(model.policy, groups, plans),
        origin=_origin(model, tensors),
        carried=carried_entries(tensors, maps),
        refit=CriticRefit(recipe.refit_rollouts) if critic == "refit" else None,
        spent=measured + (choice.steps if choice else 0),
        guide=guide,
        report=TransferReport(agent.card.name, name, recipe, tuple(tensors), notes, choice),
    )
    notes |= equip(model, agent, target, recipe, masks)


def _refresh_noise(model: TransferMixin) -> None:
    """GSDE acts by noise that was drawn with the deviations of the fresh policy."""
    if getattr(model, "use_sde", False):
        with forked(model.device):
            model.policy.reset_noise(model.n_envs)


_CRITIC_WORDS = {
    "keep": "kept from the source",
    "reset": "fresh",
    "refit": "head refitted by ridge regression on the returns of the first {n} rollout(s)",
}


def _exploration_notes(model: TransferMixin, recipe: Recipe) -> dict[str, str]:
    notes = {}
    if recipe.temperature != 1.0:
        notes["logits"] = f"divided by {recipe.temperature:g}"
    if not isinstance(recipe.log_std, str):
        notes["log standard deviation"] = f"at least {recipe.log_std:g}"
    elif hasattr(model.policy, "log_std") and recipe.log_std == "reset":
        notes["log standard deviation"] = f"reset to {model.policy.log_std_init:g}"
    return notes


def _carry_moments(
    model: TransferMixin, agent: Agent, tensors: list[TensorCopy], recipe: Recipe
) -> str:
    if recipe.optimizer == "fresh":
        return "fresh moments"
    if not agent.optimizer:
        raise RecipeError("the source carries no optimizer moments: use optimizer='fresh'")
    copied = {copy.key for copy in tensors if copy.action == "copied"}
    parameters, optimizer = dict(model.policy.named_parameters()), model.policy.optimizer
    count = 0
    for name, parameter in parameters.items():
        moments = moments_of(agent, name, parameter, optimizer) if name in copied else {}
        if moments:
            optimizer.state[parameter] = moments
            count += 1
    return f"moments of {count} of {len(parameters)} tensors copied"


def moments_of(
    agent: Agent, name: str, parameter: torch.Tensor, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """State of an agent's optimizer for one parameter, as an optimizer keeps it.

    Plain integers were stored as tensors.

    Args:
        agent: The agent.
        name: Name of the parameter.
        parameter: The parameter that the state is meant for.
        optimizer: What will keep it.

    Returns:
        The state by key; empty if the agent has none.
    """
    found: dict[str, Any] = {}
    for full, value in (agent.optimizer or {}).items():
        owner, _, key = full.rpartition("/")
        if owner == name:
            plain = value.dtype == torch.int64 and not value.dim()
            found[key] = value.item() if plain else placed(value.clone(), parameter, optimizer)
    return found


def placed(
    value: torch.Tensor, parameter: torch.Tensor, optimizer: torch.optim.Optimizer
) -> torch.Tensor:
    """Put a part of an optimizer's state on the device where the optimizer looks for it.

    Counters are on the host, unless they are counted beside the parameters.

    Args:
        value: The part.
        parameter: The parameter that it belongs to.
        optimizer: The optimizer.
    """
    group = optimizer.param_groups[0]
    beside = any(group.get(key) for key in ("capturable", "fused"))
    return value.to(parameter.device) if value.dim() or beside else value


def _carry_normalization(
    model: TransferMixin, agent: Agent, recipe: Recipe, maps: IndexMaps, *, kept_critic: bool
) -> dict[str, str]:
    keep_returns = recipe.return_stats == "copy" or (recipe.return_stats == "auto" and kept_critic)
    chosen = carry_statistics(
        agent.normalization,
        recipe,
        maps.inputs,
        model.observation_space,
        keep_returns=keep_returns,
        gamma=model.gamma,
    )
    if chosen is None:
        return {"normalization": "none, like the source"}
    venv = normalize(model.get_env(), chosen, training=True)  # pyright: ignore[reportArgumentType]
    model.set_env(venv)
    if recipe.obs_stats == "freeze" and isinstance(venv, VecNormalize) and chosen.obs:
        fix_observations(venv)
    return {
        "observation statistics": _stats_words(chosen.obs, chosen.obs_stats, recipe),
        "return statistics": "not used"
        if not chosen.reward
        else ("copied" if chosen.return_stats is not None else "fresh"),
    }


def _stats_words(used: bool, stats: Any, recipe: Recipe) -> str:
    if not used:
        return "not used"
    if stats is None:
        return "fresh"
    capped = f"copied, standing for at most {recipe.obs_count:,.0f} samples"
    return "copied and frozen" if recipe.obs_stats == "freeze" else capped


def _space_notes(model: TransferMixin, agent: Agent) -> dict[str, str]:
    notes = {}
    pairs = {
        "observation space": (agent.observation_space, model.observation_space),
        "action space": (agent.action_space, model.action_space),
    }
    for name, (source, target) in pairs.items():
        if source != target:
            notes[name] = f"source {source}, target {target}"
    left = left_behind(agent, model.policy.state_dict())
    return {**notes, **({"left behind": ", ".join(left)} if left else {})}


def _origin(model: TransferMixin, tensors: list[TensorCopy]) -> dict[str, torch.Tensor]:
    carried = {copy.key for copy in tensors if copy.carried}
    parameters = model.policy.named_parameters()
    return {name: p.detach().clone() for name, p in parameters if name in carried}
