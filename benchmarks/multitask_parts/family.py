"""Part c: one source that learned several members of a family, against one source of each.

The multi-task source has one encoder and one actor's head for all members, and as many steps as
each of the single-task sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from multitask_parts import learning
from multitask_parts.jobs import Job, Result
from multitask_parts.rows import Row, of_estimate
from multitask_parts.stats import difference, mean, shared, table
from rltransfer.metrics import auc

PART = "family"
SOURCE = "source"
MULTI = "multi"
SCRATCH = "scratch"
CONTROLS = ("permuted", "reset-heads")
_SOURCE_SETTINGS = (
    *("gamma", "vec", "batch_per_task", "hyperparameters", "policy"),
    *("points", "episodes", "final_episodes", "stochastic"),
)
_TARGET_SETTINGS = ("target_steps", "finetuning", "points", "episodes", "final_episodes")


def plan(settings: Mapping[str, Any], seeds: Sequence[int]) -> list[Job]:
    """List the runs: each seed has sources of its own."""
    jobs = []
    for seed in seeds:
        sources = {origin: _source(settings, origin, seed) for origin in _origins(settings)}
        for target in settings["targets"]:
            jobs += _on_target(settings, target, seed, sources)
    return jobs


def _origins(settings: Mapping[str, Any]) -> list[str]:
    return [MULTI, *settings["tasks"]]


def _source(settings: Mapping[str, Any], origin: str, seed: int) -> Job:
    tasks = settings["tasks"]
    common = {name: settings[name] for name in _SOURCE_SETTINGS}
    own = {
        **common,
        "tasks": tasks if origin == MULTI else [origin],
        "n_envs": settings["n_envs"] * (1 if origin == MULTI else len(tasks)),
        "batch_tasks": len(tasks),
        "steps": settings["steps_per_task"] * len(tasks),
    }
    return Job(part=PART, arm=f"{SOURCE}-{_short(origin)}", seed=seed, settings=own)


def _on_target(
    settings: Mapping[str, Any], target: str, seed: int, sources: Mapping[str, Job]
) -> list[Job]:
    common = {**{name: settings[name] for name in _TARGET_SETTINGS}, "target": target}
    arms = {SCRATCH: (MULTI, SCRATCH)}
    arms |= {
        f"{_short(origin)}-{recipe}": (origin, recipe)
        for origin in sources
        for recipe in settings["recipes"]
    }
    arms |= {f"{MULTI}-{name}": (MULTI, name) for name in CONTROLS}
    return [
        Job(
            part=PART,
            arm=f"{_short(target)}-{label}",
            seed=seed,
            settings={**common, "label": label, "recipe": recipe},
            needs={SOURCE: sources[origin]},
        )
        for label, (origin, recipe) in arms.items()
    ]


def _short(id: str) -> str:
    return id.rpartition("/")[2]


def areas(results: Sequence[Result], target: str, label: str) -> dict[int, float]:
    """Area under the normalized learning curve on a target, by seed."""
    found = {}
    for one in _of(results, target, label):
        steps, values = learning.curve_of(one, target)
        found[one["seed"]] = float(auc(steps, learning.normalized(target, values)))
    return found


def gains(results: Sequence[Result], target: str, label: str) -> dict[int, float]:
    """Area minus that of scratch, by seed."""
    own, scratch = areas(results, target, label), areas(results, target, SCRATCH)
    return {seed: own[seed] - scratch[seed] for seed in shared(own, scratch)}


def zero_shots(results: Sequence[Result], target: str, origin: str) -> dict[int, float]:
    """Normalized score of the unchanged source on a target, by seed."""
    return {
        one["seed"]: float(learning.normalized(target, one["zero_shot"]))
        for one in _of(results, target, f"{_short(origin)}-full")
    }


def comparisons(
    settings: Mapping[str, Any], results: Sequence[Result], measure: str
) -> list[dict[str, Any]]:
    """The multi-task source and the best single-task one, on each target.

    Args:
        settings: Settings of the part.
        results: Results of its runs.
        measure: ``"zero-shot"``, or ``"gain"`` for each recipe.

    Returns:
        Dicts of ``target``, ``recipe``, ``label``, ``name`` of the best single-task source by its
        mean over seeds, and numbers by seed of ``multi`` and ``best single``.
    """
    found = []
    for target in settings["targets"]:
        for recipe in ["full"] if measure == "zero-shot" else settings["recipes"]:
            values = {
                origin: zero_shots(results, target, origin)
                if measure == "zero-shot"
                else gains(results, target, f"{_short(origin)}-{recipe}")
                for origin in _origins(settings)
            }
            singles = {o: v for o, v in values.items() if o != MULTI and v}
            if not values[MULTI] or not singles:
                continue
            best = max(singles, key=lambda origin: np.mean(list(singles[origin].values())))
            suffix = "" if measure == "zero-shot" else f", {recipe}"
            found.append(
                {
                    **{"target": target, "recipe": recipe, "label": f"{_short(target)}{suffix}"},
                    **{"name": best, MULTI: values[MULTI], "best single": singles[best]},
                }
            )
    return found


def page(settings: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Describe the results."""
    count, steps = len(settings["tasks"]), settings["steps_per_task"]
    text = (
        f"## A source of {count} CartPoles, or one of each\n\n"
        f"`multi` learned {', '.join(settings['tasks'])} with one encoder and one actor's head, "
        f"{steps * count:,} steps in all. Each single-task source learned one of them for the same "
        f"{steps * count:,} steps, with as many environments in all and the same minibatch. The "
        "targets were seen by none. The best single-task source is chosen for each line by its "
        "mean over the seeds that are reported, which favors that side: nobody knows beforehand "
        f"which it will be. Fine-tuning takes {settings['target_steps']:,} steps on the target; "
        "the gain is the area under the normalized learning curve minus that of training from "
        "scratch with the same seed, network and hyperparameters. Steps of the sources are not "
        "charged to either side.\n\n"
    )
    head = ["target", "multi", "best single", "which", "multi - best single"]
    parts = [text, "Score before any training on the target:\n\n"]
    parts.append(table(head, _lines(settings, results, "zero-shot")))
    parts.append("\nGain in area over scratch:\n\n")
    parts.append(table(head, _lines(settings, results, "gain")))
    parts.append("\nScratch, and controls that begin with the multi-task source: ")
    parts.append("its weights shuffled within each tensor, and its trunk under new heads.\n\n")
    parts.append(table(["target", "area of scratch", *_CONTROL_HEAD], _controls(settings, results)))
    parts.append("\nSources on their own tasks, normalized scores:\n\n")
    parts.append(table(["source", "task", "score"], _own_tasks(results)))
    return "".join(parts) + "\n"


_CONTROL_HEAD = [f"gain of {name}" for name in CONTROLS]


def _lines(settings: Mapping[str, Any], results: Sequence[Result], measure: str) -> list[Any]:
    return [
        [
            *(one["label"], mean(one[MULTI]), mean(one["best single"]), _short(one["name"])),
            difference(one[MULTI], one["best single"]).signed(),
        ]
        for one in comparisons(settings, results, measure)
    ]


def _controls(settings: Mapping[str, Any], results: Sequence[Result]) -> list[Any]:
    rows = []
    for target in settings["targets"]:
        scratch = areas(results, target, SCRATCH)
        found = [gains(results, target, f"{MULTI}-{name}") for name in CONTROLS]
        cells = [mean(values).signed() if values else "-" for values in found]
        rows.append([target, mean(scratch) if scratch else "-", *cells])
    return rows


def _own_tasks(results: Sequence[Result]) -> list[Any]:
    found: dict[tuple[str, str], list[float]] = {}
    for one in results:
        if one["arm"].startswith(f"{SOURCE}-"):
            for task, scores in one["final"].items():
                value = float(learning.normalized(task, scores["mean"]))
                found.setdefault((one["arm"].removeprefix(f"{SOURCE}-"), task), []).append(value)
    return [[source, task, mean(values)] for (source, task), values in found.items()]


def _of(results: Sequence[Result], target: str, label: str) -> list[Result]:
    return [
        one
        for one in results
        if one["settings"].get("target") == target and one["settings"]["label"] == label
    ]


def rows(settings: Mapping[str, Any], results: Sequence[Result]) -> list[Row]:
    """Numbers over seeds."""
    found = []
    for measure in ("zero-shot", "gain"):
        for one in comparisons(settings, results, measure):
            about = f"{measure}, {one['recipe']}" if measure == "gain" else measure
            singles = one["best single"]
            found += [
                of_estimate(PART, MULTI, one["target"], about, mean(one[MULTI])),
                of_estimate(PART, f"best single: {one['name']}", one["target"], about,
                            mean(singles)),
                of_estimate(PART, "multi - best single", one["target"], about,
                            difference(one[MULTI], singles)),
            ]  # fmt: skip
    for target in settings["targets"]:
        for label in (SCRATCH, *(f"{MULTI}-{name}" for name in CONTROLS)):
            values = areas(results, target, label)
            if values:
                found.append(of_estimate(PART, label, target, "area_normalized", mean(values)))
    return found
