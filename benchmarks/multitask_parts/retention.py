"""Part d: a task is added to a trained trunk, and what that does to the tasks it knew."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from multitask_parts.jobs import Job, Result
from multitask_parts.learning import normalized
from multitask_parts.rows import Row, of_estimate
from multitask_parts.stats import difference, mean, shared, table
from rltransfer.metrics import auc
from rltransfer.multitask import MultiTaskRun, multitask
from rltransfer.pretrain import versions
from rltransfer.recipe import Recipe

PART = "retention"
SOURCE = "source"
RECIPES: dict[str, Recipe] = {
    "frozen": Recipe(freeze=["trunk.*"]),
    "slow": Recipe(lr_scale={"trunk.*": 0.1}),
    "full": Recipe(),
}
WORDS = {
    "scratch": "the new task alone, with a trunk of its own",
    "frozen": "the trunk does not train",
    "slow": "the trunk learns a tenth as fast as the new encoder and heads",
    "full": "everything trains but what belongs to old tasks alone",
}


def plan(settings: Mapping[str, Any], seeds: Sequence[int]) -> list[Job]:
    """List the runs: each seed has a source of its own."""
    common = {name: value for name, value in settings.items() if name != "new_tasks"}
    jobs = []
    for seed in seeds:
        source = Job(part=PART, arm=SOURCE, seed=seed, settings=common)
        for new in settings["new_tasks"]:
            for label in WORDS:
                jobs.append(
                    Job(
                        part=PART,
                        arm=f"{label}-{new}",
                        seed=seed,
                        settings={**common, "new": new, "label": label},
                        needs={} if label == "scratch" else {SOURCE: source},
                    )
                )
    return jobs


def run(job: Job, out: Path) -> Result:
    """Train once."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    settings, new = job.settings, job.settings.get("new")
    given: dict[str, Any] = {}
    if new is None:
        tasks = settings["tasks"]
        steps = settings["steps_per_task"] * len(tasks)
    else:
        tasks, steps = [new], settings["new_steps"]
        if job.needs:
            given = {"recipe": RECIPES[settings["label"]], "start": job.needs[SOURCE].agent(out)}
    found = multitask(
        tasks,
        steps,
        seed=job.seed,
        points=settings["points"],
        episodes=settings["episodes"],
        device="cpu",
        n_envs=settings["n_envs"],
        task_options={id: settings["task_options"].get(id, {}) for id in tasks},
        batch_size=settings["batch_per_task"] * len(tasks),
        **settings["hyperparameters"],
        **given,
    )
    if new is None:
        job.agent(out).parent.mkdir(parents=True, exist_ok=True)
        found.agent.save(job.agent(out))
    return {**_result(found), "seconds": time.perf_counter() - start}


def _result(found: MultiTaskRun) -> Result:
    return {
        "curve": [{"steps": r.step, "task": r.task, "mean": r.mean} for r in found.curve],
        "final": {id: {"mean": score.mean} for id, score in found.after.items()},
        "retention": dict(found.retention),
        "steps": found.steps,
        "versions": versions(),
    }


def page(settings: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Describe the results."""
    old, steps = settings["tasks"], settings["steps_per_task"]
    listed = "".join(f"- `{label}`: {words}\n" for label, words in WORDS.items())
    tables = "\n".join(f"{new}:\n\n{_table(new, old, results)}" for new in settings["new_tasks"])
    return (
        f"## A new task on a trained trunk\n\nA model learns {', '.join(old)} with {steps:,} steps "
        f"a task; then one task is added and trained alone with {settings['new_steps']:,} steps. "
        "Area (mean height of the learning curve) and final score of the new task, and the change "
        "of each old task's score (retention: 0 is nothing lost), are normalized. Each seed has a "
        f"source of its own.\n\n{listed}\n{tables}"
    )


def _of(results: Sequence[Result], new: str, label: str) -> list[Result]:
    return [one for one in results if one["arm"] == f"{label}-{new}"]


def area(results: Sequence[Result], new: str, label: str) -> dict[int, float]:
    """Normalized area under the new task's curve, by seed."""
    found = {}
    for one in _of(results, new, label):
        rows = [row for row in one["curve"] if row["task"] == new]
        heights = [normalized(new, row["mean"]) for row in rows]
        found[one["seed"]] = float(auc([row["steps"] for row in rows], heights))
    return found


def final(results: Sequence[Result], new: str, label: str) -> dict[int, float]:
    """Normalized score of the new task after training, by seed."""
    listed = _of(results, new, label)
    return {one["seed"]: float(normalized(new, one["final"][new]["mean"])) for one in listed}


def retained(results: Sequence[Result], new: str, label: str, old: str) -> dict[int, float]:
    """Change of an old task's normalized score, by seed."""
    listed = _of(results, new, label)
    return {one["seed"]: one["retention"][old] for one in listed if old in one["retention"]}


def _table(new: str, old: Sequence[str], results: Sequence[Result]) -> str:
    rows = []
    for label in WORDS:
        areas, baseline = area(results, new, label), area(results, new, "scratch")
        if not areas:
            continue
        gained = label != "scratch" and shared(areas, baseline)
        changes = [retained(results, new, label, id) for id in old]
        rows.append(
            [
                label,
                mean(areas),
                difference(areas, baseline).signed() if gained else "",
                mean(final(results, new, label)),
                *(mean(change).signed() if change else "" for change in changes),
            ]
        )
    head = ["arm", "area", "area - scratch", "final", *(f"retention of {id}" for id in old)]
    return table(head, rows)


def rows(settings: Mapping[str, Any], results: Sequence[Result]) -> list[Row]:
    """Numbers over seeds."""
    found = []
    for new in settings["new_tasks"]:
        for label in WORDS:
            numbers = {
                "area_normalized": area(results, new, label),
                "final_normalized": final(results, new, label),
                **{f"retention_{id}": retained(results, new, label, id)
                   for id in settings["tasks"]},
            }  # fmt: skip
            found += [
                of_estimate(PART, label, new, measure, mean(values))
                for measure, values in numbers.items()
                if values
            ]
    return found
