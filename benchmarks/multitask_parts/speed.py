"""How fast one model of four tasks trains, against four models of one task each.

Rounds alternate in one process on one thread, so that what slows one slows all. The baseline is
the harmonic mean of the single-task models' steps a second: as if each task in turn were given
the same number of steps by the single-task engine, with as many environments in all, the same
rollout and the same minibatch. The second baseline is what a user would run instead: a model for
each task with the environments and the rows of a minibatch that the task has in the multi-task one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multitask_parts.jobs import Job, Result
from multitask_parts.rows import Row, of_estimate
from multitask_parts.stats import Estimate, table
from rltransfer.metrics import bootstrap_interval
from rltransfer.multitask import fresh_multitask
from rltransfer.pretrain import fresh, versions

PART = "speed"
MULTI = "multi"
APART = "share-of-"


def plan(settings: Mapping[str, Any], classic: Mapping[str, Any]) -> list[Job]:
    """List the runs: one for each size."""
    common = {name: settings[name] for name in ("n_steps", "n_epochs", "rounds", "rollouts")}
    taken = {name: classic[name] for name in ("tasks", "task_options", "policy")}
    return [
        Job(
            part=PART,
            arm=f"{n_envs}-environments-batch-{batch}",
            seed=0,
            settings={**common, **taken, "n_envs": n_envs, "batch_size": batch},
        )
        for n_envs, batch in settings["sizes"]
    ]


def run(job: Job, out: Path) -> Result:
    """Measure one size."""
    torch.set_num_threads(1)
    start, settings = time.perf_counter(), job.settings
    models = _models(settings)
    rows = settings["n_envs"] * settings["n_steps"]
    for model in models.values():  # compiles, and makes the first environments
        model.learn(2 * rows)
    steps = rows * settings["rollouts"]
    rates: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(settings["rounds"]):
        for name, model in models.items():  # as many steps of each
            began = time.perf_counter()
            model.learn(steps, reset_num_timesteps=False)
            rates[name].append(steps / (time.perf_counter() - began))
    reports = {name: model.engine_report() for name, model in models.items()}
    for model in models.values():
        model.get_env().close()
    return {
        "rates": rates,
        "engines": reports,
        "load": os.getloadavg(),
        "seconds": time.perf_counter() - start,
        "versions": versions(),
    }


def _models(settings: Mapping[str, Any]) -> dict[str, Any]:
    tasks, options = settings["tasks"], settings["task_options"]
    common = {name: settings[name] for name in ("n_steps", "n_epochs", "batch_size")}
    common |= {"learning_rate": 3e-4, "seed": 0, "device": "cpu"}
    models: dict[str, Any] = {
        MULTI: fresh_multitask(
            tasks,
            n_envs=settings["n_envs"] // len(tasks),
            task_options=options,
            policy_kwargs=settings["policy"],
            **common,
        )
    }
    widths = [settings["policy"]["width"], *settings["policy"]["trunk_kwargs"]["sizes"]]
    for share in (1, len(tasks)):
        given = {**common, "batch_size": common["batch_size"] // share}
        for id in tasks:
            models[id if share == 1 else APART + id] = fresh(
                id,
                n_envs=settings["n_envs"] // share,
                normalize_obs=True,
                policy_kwargs={"net_arch": widths},
                gamma=options.get(id, {}).get("gamma", 0.99),
                **given,
            )
    return models


def speed_up(result: Mapping[str, Any], *, apart: bool = False) -> Estimate:
    """Median over rounds of the ratio to a baseline, with a 95 % bootstrap interval."""
    ratios = np.array(result["rates"][MULTI]) / baseline(result, apart=apart)
    low, high = bootstrap_interval(ratios, np.median)
    return Estimate(float(np.median(ratios)), float(low), float(high))


def baseline(result: Mapping[str, Any], *, apart: bool = False) -> np.ndarray:
    """Harmonic mean of the single-task models' steps a second, for each round.

    Args:
        result: Of one size.
        apart: Take the models that have one task's share of environments and minibatch.
    """
    names = [(APART if apart else "") + id for id in result["settings"]["tasks"]]
    alone = np.array([result["rates"][name] for name in names])
    return len(alone) / (1 / alone).sum(axis=0)


def page(settings: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Describe the results."""
    rows, paths = [], []
    for one in results:
        given, rates = one["settings"], one["rates"]
        alone = (f"{np.median(rates[id]):,.0f}" for id in given["tasks"])
        rows.append(
            [
                f"{given['n_envs']} environments, minibatch {given['batch_size']}",
                *(f"{np.median(rates[MULTI]):,.0f}", f"{np.median(baseline(one)):,.0f}", *alone),
                speed_up(one),
                speed_up(one, apart=True),
            ]
        )
        paths.append(
            ", ".join(" ".join(line.split()) for line in one["engines"][MULTI].split("\n"))
        )
    first = results[0]["settings"]
    head = ["size", "multi", "single, harmonic mean", *first["tasks"], "multi / single"]
    head.append("multi / single with its share")
    loads = ", ".join(f"{one['load'][0]:.1f}" for one in results)
    return (
        "## Speed\n\nEnvironment steps a second of training, medians of "
        f"{first['rounds']} alternating rounds of {first['rollouts']} rollouts in one process on "
        f"one thread ({first['n_steps']} steps of each environment, {first['n_epochs']} epochs). "
        "The single-task models have as many environments, the same rollout and the same "
        "minibatch; those of the last column have the environments and rows of a minibatch that "
        "their task has in the multi-task model, as training the tasks one after the other would. "
        "Ratios are medians over rounds, with a bootstrap interval over rounds. "
        f"Load of the machine at the end of each line: {loads}.\n\n{table(head, rows)}\n"
        f"Engine of the multi-task model: {'; '.join(dict.fromkeys(paths))}.\n"
    )


def rows(settings: Mapping[str, Any], results: Sequence[Result]) -> list[Row]:
    """Numbers over rounds, and each round's."""
    found = []
    for one in results:
        found.append(of_estimate(PART, one["arm"], "", "multi_by_single", speed_up(one)))
        shared = speed_up(one, apart=True)
        found.append(of_estimate(PART, one["arm"], "", "multi_by_single_share", shared))
        for name, rates in one["rates"].items():
            for round, rate in enumerate(rates):
                row = {"part": PART, "arm": one["arm"], "seed": round, "task": name}
                found.append({**row, "measure": "steps_per_second", "value": rate})
    return found
