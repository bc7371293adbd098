"""Part a: one model for four classic tasks, against one model for each, at equal steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from multitask_parts import learning
from multitask_parts.jobs import Job, Result
from multitask_parts.rows import Row, of_estimate
from multitask_parts.stats import difference, mean, ratio, shared, table
from rltransfer.metrics import auc

PART = "classic4"
ENOUGH = 0.9
CONTROLS: dict[str, dict[str, Any]] = {
    "multi-random-trunk": {"freeze": ["trunk.*"]},
    "multi-no-popart": {"options": {"popart": False}},
}
EXTRA: dict[str, dict[str, Any]] = {
    "multi-pcgrad": {"options": {"gradient": "pcgrad"}},
    "multi-soft-modular": {
        "policy": {"trunk": "soft_modular", "trunk_kwargs": {}, "conditioning": "one-hot"}
    },
    "multi-moore": {"policy": {"trunk": "moore", "trunk_kwargs": {}, "conditioning": "one-hot"}},
}
WORDS = {
    "multi-random-trunk": "the trunk stays as it was drawn",
    "multi-no-popart": "values are learned in each task's own units",
    "multi-pcgrad": "gradients of tasks that conflict are projected",
    "multi-soft-modular": "a soft modular trunk, which is told the task",
    "multi-moore": "a trunk of orthogonal experts, which is told the task",
}


def plan(settings: Mapping[str, Any], seeds: Sequence[int], *, extra: bool = False) -> list[Job]:
    """List the runs."""
    arms = {"multi": {}, **CONTROLS, **(EXTRA if extra else {})}
    jobs = []
    for seed in seeds:
        for arm, changes in arms.items():
            jobs.append(Job(part=PART, arm=arm, seed=seed, settings=_changed(settings, changes)))
        for id in settings["tasks"]:
            own = {**settings, "tasks": [id]}
            jobs.append(Job(part=PART, arm=single(id), seed=seed, settings=own))
    return jobs


def single(id: str) -> str:
    """Name of the arm of one task alone."""
    return f"single-{id}"


def run(job: Job, out: Path) -> Result:
    """Train once."""
    torch.set_num_threads(1)
    settings, tasks = job.settings, job.settings["tasks"]
    model = learning.build(settings, tasks, job.seed, freeze=settings.get("freeze", ()))
    return learning.learn(model, settings, settings["steps_per_task"] * len(tasks))


def final(results: Sequence[Result], arm: str, task: str) -> dict[int, float]:
    """Normalized score after training, by seed."""
    return {
        one["seed"]: float(learning.normalized(task, one["final"][task]["mean"]))
        for one in results
        if one["arm"] == arm
    }


def area(results: Sequence[Result], arm: str, task: str) -> dict[int, float]:
    """Normalized area under the learning curve, by seed."""
    found = {}
    for one in results:
        if one["arm"] == arm:
            steps, returns = learning.curve_of(one, task)
            found[one["seed"]] = float(auc(steps, learning.normalized(task, returns)))
    return found


def page(settings: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Describe the results."""
    tasks, steps = settings["tasks"], settings["steps_per_task"]
    text = (
        f"## Four classic tasks in one model\n\n`multi` is one model that learns {len(tasks)} "
        f"tasks with {steps * len(tasks):,} steps in all; `single` is a model for each task with "
        f"{steps:,} steps, from the same code with the same hyperparameters and as many "
        "environments for the task. Scores are on the scale from random actions, 0, to the "
        f"registered reference, 1, in {settings['final_episodes']} held-out episodes with the most "
        "likely actions; the area is the mean height of the learning curve on that scale. Ratio "
        f"and difference are paired by seed, and seeds that reach {ENOUGH} are counted.\n\n"
    )
    return f"{text}{_main_table(tasks, results)}\n{_control_table(tasks, results)}\n"


def _main_table(tasks: Sequence[str], results: Sequence[Result]) -> str:
    rows = []
    for task in tasks:
        multi, alone = final(results, "multi", task), final(results, single(task), task)
        both = shared(multi, alone)
        rows.append(
            [
                task,
                *(mean(scores) if scores else "-" for scores in (multi, alone)),
                ratio(multi, alone) if both else "-",
                difference(multi, alone).signed() if both else "-",
                *(_reached(multi), _reached(alone)),
                *(mean(area(results, arm, task)) for arm in ("multi", single(task))),
            ]
        )
    head = ["task", "multi", "single", "multi / single", "multi - single"]
    counts = [f"multi >= {ENOUGH}", f"single >= {ENOUGH}"]
    return table([*head, *counts, "area, multi", "area, single"], rows)


def _control_table(tasks: Sequence[str], results: Sequence[Result]) -> str:
    rows = []
    for arm in [arm for arm in WORDS if any(one["arm"] == arm for one in results)]:
        for task in tasks:
            multi, control = final(results, "multi", task), final(results, arm, task)
            if shared(multi, control):
                areas = [area(results, name, task) for name in ("multi", arm)]
                gained = [difference(multi, control).signed(), difference(*areas).signed()]
                rows.append([f"{arm}: {WORDS[arm]}", task, mean(control), *gained])
    head = ["control", "task", "score", "multi - control", "area: multi - control"]
    return table(head, rows) if rows else ""


def _reached(scores: Mapping[int, float]) -> str:
    return f"{sum(score >= ENOUGH for score in scores.values())} of {len(scores)}"


def rows(settings: Mapping[str, Any], results: Sequence[Result]) -> list[Row]:
    """Numbers over seeds."""
    found = []
    for task in settings["tasks"]:
        multi, alone = final(results, "multi", task), final(results, single(task), task)
        for arm in ("multi", single(task), *WORDS):
            scores = final(results, arm, task)
            if scores:
                found.append(of_estimate(PART, arm, task, "final_normalized", mean(scores)))
                areas = mean(area(results, arm, task))
                found.append(of_estimate(PART, arm, task, "area_normalized", areas))
            if arm != "multi" and shared(multi, scores):
                gained = difference(multi, scores)
                found.append(of_estimate(PART, arm, task, "multi_minus_this", gained))
        if shared(multi, alone):
            found.append(of_estimate(PART, "multi", task, "ratio_to_single", ratio(multi, alone)))
    return found


def _changed(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed = {**settings, **changes}
    if "policy" in changes:
        changed["policy"] = {**settings["policy"], **changes["policy"]}
    return changed
