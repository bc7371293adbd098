"""Adapting a source agent to a target task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecNormalize

from rltransfer.agents import Agent, load
from rltransfer.choose import Choice, choose, choose_unfit
from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, layer_groups, select
from rltransfer.probe import probe
from rltransfer.recipe import Recipe
from rltransfer.recipe import recipe as preset
from rltransfer.statistics import carry_statistics, fix_observations
from rltransfer.surgery import IndexMaps, TensorCopy, apply_copy, index_maps, misfits, plan_copy
from rltransfer.training.build import build_model
from rltransfer.training.critic import CriticRefit
from rltransfer.training.ppo import Transfer, TransferMixin, TransferPPO
from rltransfer.training.schedule import GroupScheduler, plan_groups
from rltransfer.vec import make_vec, normalize


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


def adapt(
    source: Agent | str | Path,
    target: str | EnvSpec,
    recipe: Recipe | str = "full",
    *,
    seed: int | None = None,
    n_envs: int | None = None,
    vec: Literal["sync", "subproc"] = "sync",
    device: str = "auto",
    tensorboard_log: str | None = None,
    verbose: int = 0,
    classes: Mapping[str, type] | None = None,
    **hyperparameters: Any,
) -> TransferPPO:
    """Build a model on the target that starts from a source agent.

    A fresh model is built on the target, and tensors are copied into it; the source is never
    edited. ``describe`` shows what was done.

    Args:
        source: An agent, the name of a zoo agent, or the path of a saved one.
        target: Gymnasium id, ``module:Id``, or spec. It need not be registered as a task.
        recipe: A recipe or the name of a preset. ``"auto"`` first runs the unchanged source on the
            target for a few episodes, whose steps count, and lets its score choose
            (see :mod:`rltransfer.choose`).
        seed: Seed of new weights, actions and environments.
        n_envs: Parallel environments; the source's number by default.
        vec: ``"sync"`` steps them in this process, ``"subproc"`` one process each.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        tensorboard_log: Folder for TensorBoard.
        verbose: 0 for silence, 1 for SB3's messages.
        classes: Your own classes that the agent was built with, by name.
        **hyperparameters: PPO's hyperparameters; the source's by default.

    Returns:
        A ``TransferPPO``, which is a ``stable_baselines3.PPO`` (or the maskable or recurrent
        sibling, after the source's algorithm), ready to ``learn``.

    Raises:
        UnknownName: A name, layer group or hyperparameter does not exist.
        SpaceMismatch: The spaces differ and the recipe does not bridge them.
        RecipeError: The recipe does not fit the policy.
    """
    agent = source if isinstance(source, Agent) else load(source, classes=classes)
    wanted = preset(recipe)

    def fresh() -> TransferMixin:
        return _fresh(
            agent,
            target,
            {**agent.hyperparameters, **hyperparameters},
            n_envs=n_envs,
            vec=vec,
            seed=seed,
            device=device,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            classes=classes,
        )

    choice = _choose(fresh(), agent, target, wanted, seed) if wanted.select else None
    model = fresh()
    _carry_over(model, agent, _name(target), choice.recipe if choice else wanted, choice)
    return cast(TransferPPO, model)


def _choose(
    trial: TransferMixin, agent: Agent, target: str | EnvSpec, wanted: Recipe, seed: int | None
) -> Choice:
    """Let the unchanged source act on the target, and choose a recipe from how it does."""
    groups = layer_groups(trial.policy)
    maps = index_maps(agent, trial.policy, groups, wanted)
    unfit = misfits(agent, trial.policy, groups, maps)
    if unfit:
        return choose_unfit(wanted, unfit)
    _carry_over(trial, agent, _name(target), wanted.but(select=None), None)
    try:
        return choose(wanted, probe(trial, agent, target, seed=seed), trial.action_space)
    finally:
        trial.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def _fresh(
    agent: Agent,
    target: str | EnvSpec,
    settings: Mapping[str, Any],
    *,
    n_envs: int | None,
    vec: Literal["sync", "subproc"],
    seed: int | None,
    classes: Mapping[str, type] | None,
    **options: Any,
) -> TransferMixin:
    """A model with the source's architecture and the target's spaces, weights untouched."""
    copies = n_envs if n_envs is not None else int(settings.get("n_envs", 1))
    venv = make_vec(target, copies, seed=seed, vec=vec)
    return build_model(
        agent.algorithm,
        agent.policy_class(classes),
        venv,
        policy_kwargs=agent.live_policy_kwargs(classes),
        hyperparameters=settings,
        seed=seed,
        **options,
    )


def _carry_over(
    model: TransferMixin, agent: Agent, target: str, recipe: Recipe, choice: Choice | None
) -> None:
    groups = layer_groups(model.policy)
    critic = _critic_mode(agent, model, groups, recipe)
    if critic == "reset":
        recipe = recipe.but(reset=[*recipe.reset, *_critic_groups(groups)])
    maps = index_maps(agent, model.policy, groups, recipe)
    tensors = plan_copy(agent, model.policy, groups, recipe, maps)
    plans = plan_groups(groups, recipe)
    apply_copy(agent, model.policy, tensors, maps, recipe)
    if critic == "refit":
        _blank_critic_head(model)
    notes = {
        "critic": _CRITIC_WORDS[critic].format(n=recipe.refit_rollouts),
        "optimizer": _carry_moments(model, agent, tensors, recipe),
        **_carry_normalization(model, agent, recipe, maps, kept_critic=critic == "keep"),
        **_bounds_note(model, agent),
    }
    model.transfer = Transfer(
        scheduler=GroupScheduler(model.policy, groups, plans),
        origin=_origin(model, tensors),
        refit=CriticRefit(recipe.refit_rollouts) if critic == "refit" else None,
        spent=choice.steps if choice else 0,
        report=TransferReport(agent.card.name, target, recipe, tuple(tensors), notes, choice),
    )


_CRITIC_WORDS = {
    "keep": "kept from the source",
    "reset": "fresh",
    "refit": "head refitted by ridge regression on the returns of the first {n} rollout(s)",
}


def _critic_mode(
    agent: Agent, model: TransferMixin, groups: Mapping[str, LayerGroup], recipe: Recipe
) -> str:
    fresh = set(select(recipe.reset, groups)) if recipe.reset else set()
    if recipe.critic == "keep" and "critic.head" in fresh:
        raise RecipeError("critic is 'keep', but reset names critic.head: drop one of the two")
    if recipe.critic != "auto":
        return recipe.critic
    if "critic.head" in fresh:
        return "reset" if set(_critic_groups(groups)) <= fresh else "refit"
    return "keep" if agent.hyperparameters.get("gamma") == model.gamma else "refit"


def _critic_groups(groups: Mapping[str, LayerGroup]) -> list[str]:
    return [name for name in groups if name.startswith("critic.")]


@torch.no_grad()
def _blank_critic_head(model: TransferMixin) -> None:
    """With a head of zeros, no old value leaks into the returns that the refit will see."""
    model.policy.value_net.weight.zero_()
    model.policy.value_net.bias.zero_()


def _carry_moments(
    model: TransferMixin, agent: Agent, tensors: list[TensorCopy], recipe: Recipe
) -> str:
    if recipe.optimizer == "fresh":
        return "fresh moments"
    if not agent.optimizer:
        raise RecipeError("the source carries no optimizer moments: use optimizer='fresh'")
    copied = {copy.key for copy in tensors if copy.action == "copied"}
    names = [name for name, _ in model.policy.named_parameters()]
    count = 0
    for name, parameter in model.policy.named_parameters():
        moments = _moments(agent, name) if name in copied else {}
        if moments:
            model.policy.optimizer.state[parameter] = moments
            count += 1
    return f"moments of {count} of {len(names)} tensors copied"


def _moments(agent: Agent, name: str) -> dict[str, torch.Tensor]:
    prefix = f"{name}/"
    saved = agent.optimizer or {}
    return {k.removeprefix(prefix): v.clone() for k, v in saved.items() if k.startswith(prefix)}


def _carry_normalization(
    model: TransferMixin, agent: Agent, recipe: Recipe, maps: IndexMaps, *, kept_critic: bool
) -> dict[str, str]:
    keep_returns = recipe.return_stats == "copy" or (recipe.return_stats == "auto" and kept_critic)
    chosen = carry_statistics(
        agent.normalization, recipe, maps.inputs, keep_returns=keep_returns, gamma=model.gamma
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


def _bounds_note(model: TransferMixin, agent: Agent) -> dict[str, str]:
    notes = {}
    pairs = {
        "observation space": (agent.observation_space, model.observation_space),
        "action space": (agent.action_space, model.action_space),
    }
    for name, (source, target) in pairs.items():
        if source != target:
            notes[name] = f"source {source}, target {target}"
    return notes


def _origin(model: TransferMixin, tensors: list[TensorCopy]) -> dict[str, torch.Tensor]:
    copied = {copy.key for copy in tensors if copy.action != "reset"}
    parameters = model.policy.named_parameters()
    return {name: p.detach().clone() for name, p in parameters if name in copied}


def _name(target: str | EnvSpec) -> str:
    return target if isinstance(target, str) else target.id
