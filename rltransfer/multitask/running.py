"""Training one policy on many tasks, evaluated on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent, Card, Score
from rltransfer.agents.numbers import check_steps
from rltransfer.callbacks import Progress
from rltransfer.errors import BadArgument
from rltransfer.evaluate import Evaluation
from rltransfer.multitask import starting
from rltransfer.multitask.building import fresh_multitask
from rltransfer.multitask.evaluating import EvaluateTasks, TaskEvaluators
from rltransfer.multitask.given import check_kinds
from rltransfer.multitask.run import MultiTaskRun
from rltransfer.multitask.tasks import check_ids, key_of
from rltransfer.pretrain import versions
from rltransfer.training.multitask import MultiTaskPPO


def multitask(
    tasks: Sequence[str],
    steps: int,
    *,
    start: Agent | str | Path | None = None,
    seed: int = 0,
    points: int = 10,
    episodes: int = 20,
    max_steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    name: str | None = None,
    command: str = "",
    **options: Any,
) -> MultiTaskRun:
    """Train one policy on many tasks, and score it on each.

    The tasks may have unequal spaces: each has its own encoder and heads, and all share a trunk.
    With ``start``, training goes on with an agent: old tasks that are named train on, new ones are
    added, and the scores of old tasks that are not named are measured before and after.

    Args:
        tasks: Gymnasium ids, or ``module:Id``.
        steps: Environment steps of all tasks together; rounded up to whole rollouts, as SB3 does.
        start: An agent, name or path to begin with.
        seed: Seed of weights, actions and environments; equal seeds give equal bits.
        points: All tasks are evaluated at step 0, after so many equal parts of the budget and thus
            at the end; 0 for no evaluation at all. Training is the same with any number.
        episodes: Held-out episodes of each evaluation of a task, at least 2.
        max_steps: Steps after which such an episode ends at the latest; needed where a task has no
            time limit of its own.
        progress: Called with (steps done, steps in all) after every rollout.
        name: Name on the agent's card; made from the tasks by default.
        command: Command line to put on the card.
        **options: Everything else of :func:`rltransfer.fresh_multitask`: ``recipe``, ``n_envs``,
            ``weights``, ``task_options``, ``encoders``, ``heads``, ``width``, ``trunk``,
            ``sizes``, ``conditioning``, ``missions``, ``embed``, ``share_critic``,
            ``normalize_obs``, ``options`` (a ``MultiTaskOptions``), ``engine``, ``vec``,
            ``device``, ``tensorboard_log``, and PPO's hyperparameters.

    Returns:
        The agent, its curves, and what was retained; ``print`` it for a table.

    Raises:
        BadArgument: An argument is out of range, contradicts ``start``, or ``steps`` is less than
            one rollout.
        UnknownName: A task, option, hyperparameter or layer group does not exist, or Gymnasium no
            longer knows a task of ``start``.
        RecipeError: The recipe does not fit.
        SpaceMismatch: Tasks share what does not fit both, or a policy cannot read a space.
        Diverged: A loss, gradient or weight is not finite.
    """
    ids = check_ids(tasks)
    check_steps(steps)
    check_kinds({"seed": seed, "progress": progress, "name": name, "command": command})
    if type(points) is not int or points < 0:
        raise BadArgument(f"points is {points!r}: give a whole number, 0 for no evaluation")
    begun = None if start is None else starting.as_start(start)
    played = _as_known(ids, begun)
    if begun is not None and points:
        starting.require_idle(begun, played)
    model = fresh_multitask(ids, start=begun, seed=seed, **options)
    try:
        _check_rollout(model, steps)
        # Whatever cannot be stored as data is refused now, not after the training.
        Agent.from_model(model, card=_card(model, begun, played, {}, name, seed, command))
        watch = _train(
            model,
            int(steps),
            {known: given for known, given in zip(played, ids, strict=True)}
            | {id: id for id in (begun.tasks if begun else ()) if id not in played},
            played,
            points=points,
            episodes=episodes,
            max_steps=max_steps,
            progress=progress,
        )
        before, after = _ends(watch.found if watch else {})
        card = _card(model, begun, played, after, name, seed, command)
        agent = Agent.from_model(model, card=card)
    finally:
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
    return MultiTaskRun(
        agent=agent,
        model=model,
        trained=played,
        steps=model.num_timesteps,
        curve=watch.curve if watch else (),
        before=before,
        after=after,
    )


def _train(
    model: Any,
    steps: int,
    tasks: Mapping[str, str],
    played: Sequence[str],
    *,
    points: int,
    episodes: int,
    max_steps: int | None,
    progress: Callable[[int, int], None] | None,
) -> EvaluateTasks | None:
    """Train, and evaluate all tasks on the way unless ``points`` is 0."""
    callbacks: list[Any] = [Progress(progress)] if progress else []
    if not points:
        model.learn(steps, callback=callbacks)
        return None
    with closing(TaskEvaluators(tasks, episodes=episodes, max_steps=max_steps)) as evaluators:
        watch = EvaluateTasks(evaluators, played=played, points=points)
        model.learn(steps, callback=[watch, *callbacks])
    return watch


def _as_known(ids: Sequence[str], start: Agent | None) -> tuple[str, ...]:
    """The tasks under the ids that a start knows them by; others as they are."""
    known = {} if start is None else {key_of(id): id for id in start.tasks}
    return tuple(known.get(key_of(id), id) for id in ids)


def _check_rollout(model: MultiTaskPPO, steps: int) -> None:
    rollout = model.n_steps * model.n_envs
    if steps < rollout:
        raise BadArgument(
            f"steps is {steps}, but one rollout takes {rollout:,} (n_steps={model.n_steps} in each "
            f"of {model.n_envs} environments): give more steps, or a smaller n_steps or n_envs"
        )


def _ends(
    found: Mapping[int, Mapping[str, Evaluation]],
) -> tuple[dict[str, Score], dict[str, Score]]:
    """Scores of the first and of the last evaluation."""
    steps = sorted(found)
    ends = [found[steps[0]], found[steps[-1]]] if steps else [{}, {}]
    before, after = ({id: one.score for id, one in end.items()} for end in ends)
    return before, after


def _card(
    model: MultiTaskPPO,
    start: Agent | None,
    played: Sequence[str],
    scores: Mapping[str, Score],
    name: str | None,
    seed: int,
    command: str,
) -> Card:
    short = [id.rpartition(":")[2].rpartition("/")[2] for id in played]
    if start is not None:
        new = [one for one, id in zip(short, played, strict=True) if id not in start.tasks]
        short = [start.card.name, *new]
    return Card(
        name=name or "+".join(short),
        task=", ".join(task.id for task in model.policy.tasks),  # pyright: ignore
        steps=model.num_timesteps,
        seed=seed,
        scores=scores,
        command=command,
        versions=versions(),
        created=datetime.now(UTC).date().isoformat(),
        source="" if start is None else start.card.name,
    )
