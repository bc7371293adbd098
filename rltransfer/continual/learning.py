"""Learning a sequence of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from typing import Any

import numpy as np

from rltransfer import metrics, registry
from rltransfer.adapters import adapter
from rltransfer.adapting import adapted
from rltransfer.agents.numbers import check_steps, whole
from rltransfer.callbacks import Curve
from rltransfer.continual.run import ContinualRun
from rltransfer.continual.stage import SEEDS_APART, Plan
from rltransfer.continual.strategies import STRATEGIES
from rltransfer.errors import BadArgument, SpaceMismatch, UnknownName, suggest
from rltransfer.evaluate import evaluate
from rltransfer.fits import same_arrays
from rltransfer.multitask.run import on_scale
from rltransfer.pretrain import fresh

Progress = Callable[[int, int], None]
_OF_ANY_ALGORITHM = ("finetune", "scratch")
"""Methods that leave the updates as they are."""


def continual(
    tasks: Iterable[str],
    method: str = "finetune",
    *,
    steps: int,
    seed: int = 0,
    task_ids: bool = True,
    points: int = 10,
    episodes: int = 20,
    max_steps: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> ContinualRun:
    """Learn tasks one after the other, and score all of them after each.

    No states of earlier tasks are stored: ``"ewc"``, ``"replay"`` and ``"distill"`` need their
    environments, and play them again while each later task is learnt, in steps on top of ``steps``
    (:mod:`rltransfer.continual.strategies` says how many).

    Args:
        tasks: Gymnasium ids, at least two, of equal spaces; the registry knows their random and
            reference scores.
        method: ``"finetune"``, ``"scratch"``, ``"l2"``, ``"ewc"``, ``"replay"`` (behavioural
            cloning of the last agent on all earlier tasks), ``"packnet"``, ``"progressive"`` or
            ``"distill"``; see :mod:`rltransfer.continual.strategies`.
        steps: Environment steps on each task.
        seed: Seed, below 1,000.
        task_ids: Whether observations tell the task, as a one-hot vector at their end. Without it,
            tasks whose observations look alike can contradict each other in all methods that do
            not keep an agent for each task.
        points: Evaluations while a task is learnt, for its learning curve.
        episodes: Held-out episodes of each evaluation.
        max_steps: End of such an episode, for tasks without a time limit.
        progress: Called with (tasks done, tasks in all).
        **options: Network and hyperparameters, as for :func:`rltransfer.pretrain`.

    Raises:
        BadArgument: Tasks are too few, not all scored, an option is out of range, or the method
            needs plain PPO and ``algorithm`` is another one.
        UnknownName: A task or the method does not exist.
        SpaceMismatch: The spaces of the tasks differ.
    """
    check_steps(steps)
    if method not in STRATEGIES:
        raise UnknownName(suggest(str(method), STRATEGIES, kind="continual method"))
    algorithm = options.get("algorithm", "ppo")
    if algorithm != "ppo" and method not in _OF_ANY_ALGORITHM:
        raise BadArgument(
            f"method is {method!r}, which takes part in the updates of PPO, and {algorithm!r} "
            f"updates by sb3-contrib's own code: choose {' or '.join(_OF_ANY_ALGORITHM)}, or ppo"
        )
    named, seed = _checked(tasks), whole("seed", seed)
    if seed >= SEEDS_APART:
        raise BadArgument(f"seed is {seed}: expected 0 to 999, as each task adds 1,000")
    plan = Plan(
        tasks=_with_ids(named) if task_ids else named,
        steps=int(steps),
        seed=seed,
        points=points,
        episodes=episodes,
        max_steps=max_steps,
        options=options,
    )
    return _learn(plan, method, named, progress)


def _learn(
    plan: Plan, method: str, tasks: Sequence[str], progress: Progress | None
) -> ContinualRun:
    strategy = STRATEGIES[method](plan)
    scores = [_untrained(plan)]
    areas = []
    for index in range(len(plan.tasks)):
        areas.append(_area(plan.tasks[index], strategy.learn(index), plan.steps))
        scores.append(_scores(plan, strategy.player))
        if progress:
            progress(index + 1, len(plan.tasks))
    return ContinualRun(
        method=method,
        tasks=tuple(tasks),
        steps=plan.steps,
        seed=plan.seed,
        scores=np.array(scores),
        areas=np.array(areas),
        agents=[strategy.player(index) for index in range(len(plan.tasks))],
    )


def _untrained(plan: Plan) -> list[float]:
    """Scores of the network that the first task starts from."""
    model = fresh(plan.tasks[0], seed=plan.seed_of(0), **plan.options)
    try:
        return _scores(plan, lambda _: model)
    finally:
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]


def _scores(plan: Plan, player: Callable[[int], Any]) -> list[float]:
    found = []
    for index, task in enumerate(plan.tasks):
        result = evaluate(player(index), task, episodes=plan.episodes, max_steps=plan.max_steps)
        found.append(on_scale(task, float(result.returns.mean())))
    return found


def _area(task: str, curve: Curve, steps: int) -> float:
    means = curve.deterministic.mean(axis=1)
    scores = np.clip([on_scale(task, float(mean)) for mean in means], 0, 1)
    grid = np.unique([*curve.steps[curve.steps < steps], steps])
    return float(metrics.auc(grid, metrics.on_grid(curve.steps, scores, grid, hold=True)))


def _checked(tasks: Iterable[str]) -> list[str]:
    listed = [] if isinstance(tasks, str) or not isinstance(tasks, Iterable) else list(tasks)
    ids = all(isinstance(id, str) for id in listed)
    if not ids or len(listed) < 2 or len({registry.spec(id).id for id in listed}) < len(listed):
        shown = listed or tasks
        raise BadArgument(f"tasks is {shown!r:.200}: give at least two different Gymnasium ids")
    for id in listed:
        known = registry.task(id)
        if known.random is None or known.reference is None:
            raise BadArgument(
                f"{id} has no random and reference score, on which forgetting is measured: give "
                "them with rltransfer.register_task(..., random=..., reference=...)"
            )
    _require_same_spaces(listed)
    return listed


def _require_same_spaces(tasks: Sequence[str]) -> None:
    spaces = []
    for id in tasks:
        with closing(registry.make(id)) as env:
            spaces.append((env.observation_space, env.action_space))
    (seen, acts), *others = spaces
    for id, (other_seen, other_acts) in zip(tasks[1:], others, strict=True):
        if not same_arrays(seen, other_seen) or acts != other_acts:
            raise SpaceMismatch(
                f"one agent learns all tasks of a sequence, and {tasks[0]} has {seen} and {acts}, "
                f"{id} has {other_seen} and {other_acts}: make them equal with the wrappers of "
                "rltransfer.adapters, or train one agent of several tasks with rltransfer.multitask"
            )


def _with_ids(tasks: Sequence[str]) -> list[str]:
    """Register each task with a one-hot vector at the end of its observations."""
    found = []
    for index, id in enumerate(tasks):
        full = registry.spec(id).id
        name = full.rpartition("/")[2].rpartition("-v")[0] or "Task"
        digest = sha256(full.encode()).hexdigest()[:8]
        one_hot = [float(other == index) for other in range(len(tasks))]
        new = f"rlt-continual/{name}-{digest}-{index + 1}of{len(tasks)}-v0"
        found.append(adapted(id, new, [adapter("AppendObservation", values=one_hot)]))
    return found
