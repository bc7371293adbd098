"""Training a multi-task model, with its learning curves on held-out episodes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from multitask_parts.heldout import HeldOut
from rltransfer import registry
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.multitask import fresh_multitask
from rltransfer.multitask.evaluating import EvaluateTasks
from rltransfer.pretrain import versions
from rltransfer.recipe import Recipe


def build(
    settings: Mapping[str, Any], tasks: Sequence[str], seed: int, *, freeze: Sequence[str] = ()
) -> Any:
    """Build an untrained model of many tasks, some of whose layer groups may never train."""
    return fresh_multitask(
        tasks,
        n_envs=settings["n_envs"],
        vec=settings["vec"],
        seed=seed,
        device="cpu",
        task_options={id: settings["task_options"].get(id, {}) for id in tasks},
        policy_kwargs=settings["policy"],
        options=MultiTaskOptions(**settings.get("options", {})),
        recipe=Recipe(freeze=freeze),
        batch_size=settings["batch_per_task"] * settings.get("batch_tasks", len(tasks)),
        **settings["hyperparameters"],
    )


def learn(model: Any, settings: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Train a model and evaluate it on each of its tasks along the way.

    Returns:
        ``curve``: rows of step, task and mean returns; ``final``: mean returns after training, in
        more episodes; ``steps``; ``train_seconds`` and ``steps_per_second`` of the training alone;
        ``seconds``, ``engine``, ``versions``.
    """
    start = time.perf_counter()
    tasks = [task.id for task in model.policy.tasks]
    how = {name: settings[name] for name in ("vec", "stochastic")}
    held_out: Any = HeldOut(tasks, episodes=settings["episodes"], **how)
    last = HeldOut(tasks, episodes=settings["final_episodes"], **how)
    watch = EvaluateTasks(held_out, played=tasks, points=settings["points"])
    try:
        began = time.perf_counter()
        model.learn(steps, callback=watch)
        seconds = time.perf_counter() - began - held_out.seconds
        final = last.means(model)
    finally:
        held_out.close()
        last.close()
        model.get_env().close()
    return {
        "curve": _rows(watch, held_out),
        "final": final,
        "steps": model.num_timesteps,
        "train_seconds": seconds,
        "steps_per_second": model.num_timesteps / seconds,
        "seconds": time.perf_counter() - start,
        "engine": model.engine_report(),
        "versions": versions(),
    }


def _rows(watch: EvaluateTasks, held_out: HeldOut) -> list[dict[str, Any]]:
    rows = []
    for i, (steps, found) in enumerate(watch.found.items()):
        sampled = held_out.sampled[i] if held_out.sampled else {}
        for id, one in found.items():
            means = {"mean": one.mean}
            if id in sampled:
                means["stochastic"] = sampled[id]
            rows.append({"steps": steps, "task": id, **means})
    return rows


def normalized(id: str, value: Any) -> Any:
    """Bring returns to the scale from random actions, 0, to the task's reference, 1."""
    return registry.task(id).normalize(value)


def has_scale(id: str) -> bool:
    """Whether the random and the reference score of a task are known."""
    known = registry.tasks().get(id)
    return known is not None and known.random is not None and known.reference is not None


def curve_of(result: Mapping[str, Any], task: str, how: str = "mean") -> tuple[Any, Any]:
    """Steps and mean returns of one task, each of shape (points,)."""
    rows = [row for row in result["curve"] if row["task"] == task]
    return np.array([row["steps"] for row in rows]), np.array([row[how] for row in rows])
