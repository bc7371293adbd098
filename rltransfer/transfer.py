"""Adapting a source agent to a target task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecEnv

from rltransfer.agents import Agent, load
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.carry import TransferReport, carry_over
from rltransfer.choose import Choice, choose, choose_unfit
from rltransfer.growing import grow
from rltransfer.guiding import vec_for
from rltransfer.index_maps import index_maps
from rltransfer.layers import layer_groups
from rltransfer.presets import recipe as preset
from rltransfer.probe import probe
from rltransfer.recipe import Recipe
from rltransfer.statistics import statistics_fit
from rltransfer.surgery import unfit_groups
from rltransfer.target import check_target
from rltransfer.training.build import build_model
from rltransfer.training.ppo import TransferMixin, TransferPPO
from rltransfer.vec import Vec, make_vec

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
            target for a few episodes, whose steps count, and lets its score choose
            (see :mod:`rltransfer.choose`).
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
    given = source if isinstance(source, Agent) else load(source, classes=classes)
    of_one_task(given, "adapt")
    wanted = preset(recipe)
    grown = grow(given, wanted, seed)
    agent = grown.agent

    def fresh(vec: Vec) -> TransferMixin:
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

    choice = _choose(fresh("auto"), agent, target, wanted, seed) if wanted.select else None
    model = fresh(vec_for(wanted, vec))
    with _closed_on_error(model.get_env()):
        chosen = choice.recipe if choice else wanted
        carry_over(model, agent, target, chosen, choice, grown.masks)
    return cast(TransferPPO, model)


def _choose(
    trial: TransferMixin, agent: Agent, target: str | EnvSpec, wanted: Recipe, seed: int | None
) -> Choice:
    """Let the unchanged source act on the target, and choose a recipe from how it does."""
    try:
        groups = layer_groups(trial.policy)
        maps = index_maps(agent, trial.policy, groups, wanted)
        unfit = unfit_groups(agent, trial.policy, groups, wanted, maps)
        if unfit:
            mapped = maps.inputs is not None
            fit = mapped or statistics_fit(agent.normalization, trial.observation_space)
            return choose_unfit(wanted, unfit, stats_fit=fit)
        carry_over(trial, agent, target, wanted.but(select=None, critic="keep"))
        return choose(wanted, probe(trial, agent, target, seed=seed), trial.action_space)
    finally:
        trial.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def _fresh(
    agent: Agent,
    target: str | EnvSpec,
    settings: Mapping[str, Any],
    *,
    n_envs: int | None,
    vec: Vec,
    seed: int | None,
    classes: Mapping[str, type] | None,
    **options: Any,
) -> TransferMixin:
    """A model with the source's architecture and the target's spaces, weights untouched."""
    policy, kwargs = agent.policy_class(classes), agent.live_policy_kwargs(classes)
    copies = n_envs if n_envs is not None else int(settings.get("n_envs", 1))
    venv = make_vec(target, copies, seed=seed, vec=vec)
    with _closed_on_error(venv):
        check_target(agent, venv, settings)
        return build_model(
            agent.algorithm,
            policy,
            venv,
            policy_kwargs=kwargs,
            hyperparameters=settings,
            seed=seed,
            **options,
        )


@contextmanager
def _closed_on_error(venv: VecEnv | None) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if venv is not None:
            venv.close()
        raise
