"""Building models that learn many tasks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent
from rltransfer.agents.hyperparameters import NAMES
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.options import EngineOptions
from rltransfer.errors import BadArgument, UnknownName, suggest
from rltransfer.layers import layer_groups
from rltransfer.multitask import architecture, carrying, plans, starting
from rltransfer.multitask.architecture import Embed
from rltransfer.multitask.given import check_kinds
from rltransfer.multitask.playing import Cast, Weights, environments, sampling, with_defaults
from rltransfer.multitask.tasks import (
    Sharing,
    TaskOptions,
    check_ids,
    check_options,
    check_sharing,
    key_of,
    look_at,
    shared,
)
from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.recurrent import MultiTaskLstmPolicy
from rltransfer.policies.tasks import PolicyTask
from rltransfer.presets import recipe as preset
from rltransfer.recipe import Recipe
from rltransfer.training.build import build_model
from rltransfer.training.multitask import (
    MultiTaskPPO,
    MultiTaskRecurrentPPO,
)
from rltransfer.training.schedule import GroupScheduler
from rltransfer.training.transfer_state import Transfer
from rltransfer.vec import Vec

ALGORITHMS: Mapping[str, tuple[Any, Any]] = {
    "ppo": (MultiTaskPolicy, MultiTaskPPO),
    "recurrent_ppo": (MultiTaskLstmPolicy, MultiTaskRecurrentPPO),
}


def fresh_multitask(
    tasks: Sequence[str],
    *,
    start: Agent | str | Path | None = None,
    recipe: Recipe | str | None = None,
    algorithm: str | None = None,
    n_envs: int = 8,
    vec: Vec = "auto",
    weights: Weights = None,
    task_options: TaskOptions | None = None,
    encoders: Sharing = "own",
    heads: Sharing = "own",
    width: int | None = None,
    encoder_kind: str | None = None,
    trunk: str | None = None,
    sizes: Sequence[int] | None = None,
    trunk_kwargs: Mapping[str, Any] | None = None,
    conditioning: str | None = None,
    missions: Mapping[str, str] | None = None,
    embed: Embed | None = None,
    share_critic: bool | None = None,
    normalize_obs: bool | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
    options: MultiTaskOptions | None = None,
    engine: EngineOptions | None = None,
    seed: int | None = None,
    device: str = "auto",
    tensorboard_log: str | None = None,
    **hyperparameters: Any,
) -> MultiTaskPPO:
    """Build a model that learns many tasks, from scratch or from an agent.

    Args:
        tasks: Gymnasium ids, or ``module:Id``; they may have unequal spaces.
        start: An agent, name or path to begin with. Of a multi-task agent, ``tasks`` may name old
            tasks, which train on, and new ones; old ones that are not named are not played, and
            what belongs to them alone is frozen. A single-task agent becomes one of many tasks
            first.
        recipe: How layer groups train: ``freeze``, ``thaw``, ``thaw_by``, ``lr_scale`` and
            ``lr_decay`` of a :class:`rltransfer.Recipe`, or the name of a preset that has no other
            fields; with ``start`` also ``reset`` and ``optimizer``. Groups are named as
            ``MultiTaskPolicy`` says.
        algorithm: ``"ppo"`` (default), or ``"recurrent_ppo"`` for an LSTM behind the trunk, of size
            ``policy_kwargs={"lstm_hidden_size": 64}``; with ``start`` the start's.
        n_envs: Parallel environments of each task; the average where ``weights`` differ.
        vec: How they are stepped; see :func:`rltransfer.vec.make_vec`.
        weights: How environments, and with them steps, are divided among tasks: None evenly; by
            task, in proportion; ``"progress"`` gives more to tasks whose returns change most
            (:class:`rltransfer.training.multitask.LearningProgress`).
        task_options: By task: ``gamma``, ``noise``, ``log_std``, ``encoder`` and ``head`` of
            :class:`rltransfer.PolicyTask`, and for new tasks of ``start`` a ``source``, the
            single-task agent whose encoder and heads they begin with.
        encoders: ``"own"`` for each task, or ``"shared"`` by tasks of equal observation spaces.
        heads: ``"own"`` for each task, or ``"shared"`` by tasks of equal action spaces.
        width: Features of each encoder; 64 by default. This and what follows, up to
            ``policy_kwargs``, is that of ``start`` where there is one.
        encoder_kind: ``"auto"`` (default), or ``"grid"`` for MiniGrid's views.
        trunk: ``"mlp"`` (default), ``"moore"`` or ``"soft_modular"``; see
            :mod:`rltransfer.policies.trunks`.
        sizes: Widths of the trunk's layers; (64,) by default: with the encoder, the two layers of
            64 that SB3's MlpPolicy has.
        trunk_kwargs: Other options of the trunk, such as ``{"experts": 4}``.
        conditioning: What tells the trunk which task it is: ``"heads"`` nothing, ``"one-hot"``,
            ``"embedding"`` (learned), or ``"sentence"`` (the task's mission). By default
            ``"heads"``, and ``"one-hot"`` for trunks that must know the task.
        missions: With ``"sentence"``: what to do, by task; else the mission that is registered.
        embed: With ``"sentence"``: from a list of missions to an array with a row for each, such as
            the ``encode`` of a sentence-transformers model. By default
            :func:`rltransfer.policies.sentences.embed`, which knows words, not meanings.
        share_critic: Whether actor and critic share encoders and trunk; they do not by default, as
            in SB3.
        normalize_obs: Whether vectors are normalized by running statistics of each encoder; they
            are by default, as the scales of tasks differ.
        policy_kwargs: Other arguments of ``MultiTaskPolicy``.
        options: How tasks are weighed against each other in an update.
        engine: Which paths of the engine may be taken.
        seed: Seed of weights, actions and environments.
        device: ``"auto"`` (the CPU), ``"cpu"`` or ``"cuda"``.
        tensorboard_log: Folder for TensorBoard.
        **hyperparameters: PPO's. ``gamma`` holds for all tasks whose ``task_options`` have none
            (0.99). By default ``n_steps`` is such that a rollout has 1,024 steps of each task,
            ``batch_size`` is 64 for each task, so that a minibatch has as many rows of a task as
            one of SB3 has, and ``learning_rate`` falls from 1e-3 linearly to 0: minibatches are
            larger than those of one task, and tasks that are solved first are not to be forgotten
            at the end. The rest is SB3's.

    Returns:
        A ``MultiTaskPPO``, ready to ``learn``.

    Raises:
        BadArgument: An argument is out of range, or contradicts ``start``.
        UnknownName: A task, option, hyperparameter or layer group does not exist.
        RecipeError: The recipe does not fit.
        SpaceMismatch: Tasks share what does not fit both, or a policy cannot read a space.
    """
    _check_names(hyperparameters)
    ids = check_ids(tasks)
    check_kinds({"algorithm": algorithm, "weights": weights, "options": options, "engine": engine})
    check_kinds({"missions": missions, "embed": embed, "seed": seed})
    begun = None if start is None else starting.as_start(start)
    algorithm = _algorithm(algorithm, begun)
    given = architecture.chosen(
        sizes=sizes,
        trunk_kwargs=trunk_kwargs,
        policy_kwargs=policy_kwargs,
        width=width,
        encoder_kind=encoder_kind,
        trunk=trunk,
        conditioning=conditioning,
        share_critic=share_critic,
        normalize_observations=normalize_obs,
    )
    cast = _cast(
        ids,
        begun,
        given,
        check_options(task_options, ids),
        gamma=hyperparameters.get("gamma"),
        sharing={"encoders": encoders, "heads": heads},
        words={"missions": missions, "embed": embed},
        seed=seed,
    )
    wanted = Recipe() if recipe is None else preset(recipe)
    plans.check_recipe(wanted, started=begun is not None)
    env = environments(cast, n_envs, weights, vec)
    try:
        env.seed(seed)
        policy, kind = ALGORITHMS[algorithm]
        model: Any = build_model(
            algorithm,
            policy,
            env,
            policy_kwargs={**cast.kwargs, "tasks": list(cast.tasks)},
            hyperparameters=with_defaults(hyperparameters, len(ids), n_envs),
            seed=seed,
            device=device,
            tensorboard_log=tensorboard_log,
            kind=kind,
        )
        model.multitask_options = options or MultiTaskOptions()
        model.engine_options = engine or EngineOptions()
        model.progress_sampling = sampling(cast) if weights == "progress" else None
        _carry(model, cast, wanted)
    except BaseException:
        env.close()
        raise
    return model


def _check_names(given: Mapping[str, Any]) -> None:
    """Refuse what is neither an option nor a hyperparameter, before anything is built."""
    taken = signature(fresh_multitask).parameters.values()
    options = [one.name for one in taken if one.kind is one.KEYWORD_ONLY]
    known = [*options, *(name for name in NAMES if name not in options)]
    for name in given:
        if name not in NAMES:
            kind = "option or hyperparameter"
            raise UnknownName(suggest(name, known, kind=kind, limit=None))


def _algorithm(given: str | None, start: Agent | None) -> str:
    """The algorithm that was asked for, or that of the start."""
    if given is not None and given not in ALGORITHMS:
        raise UnknownName(suggest(str(given), ALGORITHMS, kind="algorithm for many tasks"))
    if start is None:
        return given or "ppo"
    if given not in (None, start.algorithm):
        raise BadArgument(
            f"algorithm is {given!r}, but start ({start.card.name}) was trained by "
            f"{start.algorithm!r}: leave it out, or leave start out to begin anew"
        )
    return start.algorithm


def _cast(
    ids: tuple[str, ...],
    agent: Agent | None,
    given: dict[str, Any],
    options: dict[str, dict[str, Any]],
    *,
    gamma: float | None,
    sharing: dict[str, Sharing],
    words: dict[str, Any],
    seed: int | None,
) -> Cast:
    """Decide which tasks the policy has and how it is built."""
    for name, value in sharing.items():
        check_sharing(name, value)
    if agent is None:
        return _new_cast(ids, given, options, gamma, sharing, words)
    architecture.contradictions(agent, given)
    begun = starting.extended(agent, ids, options, gamma=gamma, seed=seed or 0, **sharing, **words)
    indices = {task.key: index for index, task in enumerate(begun.tasks)}
    kwargs = {k: v for k, v in begun.agent.live_policy_kwargs().items() if k != "tasks"}
    return Cast(
        tasks=begun.tasks,
        played={indices[key_of(id)]: id for id in ids},
        kwargs=kwargs,
        start=begun,
    )


def _new_cast(
    ids: tuple[str, ...],
    given: dict[str, Any],
    options: dict[str, dict[str, Any]],
    gamma: float | None,
    sharing: dict[str, Sharing],
    words: dict[str, Any],
) -> Cast:
    kwargs = architecture.completed(given)
    architecture.check_missions(kwargs["conditioning"], **words)
    tasks: list[PolicyTask] = []
    for id in ids:
        if "source" in options[id]:
            raise BadArgument(
                f"task_options of {id} have a source, and there is no start: a source gives its "
                "encoder and heads to a new task of start; rltransfer.finetune starts from one"
            )
        task = look_at(id, gamma=0.99 if gamma is None else gamma, options=options[id])
        tasks.append(shared(task, tasks, options[id], **sharing))
    if kwargs["conditioning"] == "sentence" and "conditioning_kwargs" not in kwargs:
        kwargs["conditioning_kwargs"] = {"vectors": architecture.mission_vectors(ids, **words)}
    return Cast(tasks=tuple(tasks), played=dict(enumerate(ids)), kwargs=kwargs)


def _carry(model: MultiTaskPPO, cast: Cast, recipe: Recipe) -> None:
    """Put the start into the model, and let its layer groups train as the recipe says."""
    policy: Any = model.policy
    groups = layer_groups(policy)
    ids = {task.id for task in cast.tasks}
    idle = plans.groups_of_only(cast.tasks, ids - set(cast.played_ids))
    new = plans.groups_of_only(cast.tasks, ids - set(cast.start.known)) if cast.start else ()
    planned = plans.plan(groups, recipe, idle=idle, new=new)
    given: dict[str, Any] = {}
    if cast.start is not None:
        fresh = plans.fresh_keys(groups, recipe, idle)
        carried = carrying.carry_into(model, cast.start, recipe, fresh)
        given = {"origin": carried.origin, "report": carried.report}
    model.transfer = Transfer(scheduler=GroupScheduler(policy, groups, planned), **given)
