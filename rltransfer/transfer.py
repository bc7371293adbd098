"""Adapting a source agent to a target task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from gymnasium.envs.registration import EnvSpec

from rltransfer.agents import Agent, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.numbers import whole
from rltransfer.carry import TransferReport, carry_over
from rltransfer.choose import Choice, Evidence, choose
from rltransfer.evaluation.given import trained_on
from rltransfer.fresh_models import closed_on_error, fresh_model
from rltransfer.growing import grow
from rltransfer.guiding import vec_for
from rltransfer.index_maps import index_maps
from rltransfer.layers import layer_groups
from rltransfer.presets import recipe as preset
from rltransfer.probe import Probe, probe
from rltransfer.recipe import Recipe
from rltransfer.registry import id_of
from rltransfer.similarity.closeness import compare_tasks
from rltransfer.statistics import statistics_fit
from rltransfer.surgery import unfit_groups
from rltransfer.training.ppo import TransferMixin, TransferPPO
from rltransfer.vec import Vec

__all__ = ["TransferReport", "adapt"]


def adapt(
    source: Agent | str | Path,
    target: str | EnvSpec,
    recipe: Recipe | str = "full",
    *,
    seed: int | None = None,
    n_envs: int | None = None,
    vec: Vec = "auto",
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
            target for a few episodes, whose steps count, and lets its score choose;
            ``Recipe(select="similarity")`` plays both tasks at random and lets their closeness
            choose, where the steps on the target count (see :mod:`rltransfer.choose`).
        seed: Seed of new weights, actions and environments.
        n_envs: Parallel environments; the source's number by default.
        vec: How they are stepped: ``"auto"``, ``"native"``, ``"sync"``, ``"subproc"`` or
            ``"envpool"``; see :func:`rltransfer.vec.make_vec`.
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
        BadArgument: A hyperparameter or the device does not fit.
        BadEnvironment: The target breaks its contract.
    """
    agent = source if isinstance(source, Agent) else load(source, classes=classes)
    of_one_task(agent, "adapt")
    wanted = preset(recipe)
    seed = None if seed is None else whole("seed", seed)

    def fresh(agent: Agent, vec: Vec) -> TransferMixin:
        return fresh_model(
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

    choice = _choose(fresh(agent, "auto"), agent, target, wanted, seed) if wanted.select else None
    chosen = choice.recipe if choice else wanted
    grown = grow(agent, chosen, seed)
    model = fresh(grown.agent, vec_for(chosen, vec))
    with closed_on_error(model.get_env()):
        carry_over(model, grown.agent, target, chosen, choice, grown.masks)
    return cast(TransferPPO, model)


def _choose(
    trial: TransferMixin, agent: Agent, target: str | EnvSpec, wanted: Recipe, seed: int | None
) -> Choice:
    """Let a selector choose a recipe, from what it wants to know of the source and the target."""
    levels: list[tuple[float, float]] = []

    def run_probe(start: int, episodes: int) -> Probe:
        if not levels:
            carry_over(trial, agent, target, wanted.but(select=None, critic="keep"))
        known = levels[0] if levels else None
        which = {"start": start, "episodes": episodes, "levels": known}
        found = probe(trial, agent, target, seed=seed, **which)
        levels.append(found.levels)
        return found

    try:
        groups = layer_groups(trial.policy)
        maps = index_maps(agent, trial.policy, groups, wanted)
        fit = maps.inputs is not None
        fit = fit or statistics_fit(agent.normalization, trial.observation_space)
        evidence = Evidence(
            wanted=wanted,
            target=id_of(target),
            action_space=trial.action_space,
            algorithm=agent.algorithm,
            unfit=unfit_groups(agent, trial.policy, groups, wanted, maps),
            stats_fit=fit,
            run_probe=run_probe,
            run_comparison=lambda: compare_tasks(trained_on(agent), target, seed=seed),
        )
        return choose(evidence)
    finally:
        trial.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
