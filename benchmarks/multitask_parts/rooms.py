"""Part b: the shared layers of three MiniGrid rooms, carried over to other rooms, as MOORE did.

Hendawy et al. 2024, "Multi-Task Reinforcement Learning with Mixture of Orthogonal Experts",
arXiv:2311.11385, figure 3: what was learned on MT3 initializes the shared layers on the two rooms
that MT5 has and MT3 has not (``TL3_5`` of the authors' code), and all heads are new. Here it
initializes a model of all five rooms too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from multitask_parts import backbone, learning
from multitask_parts.jobs import Job, Result
from multitask_parts.rows import Row, of_estimate
from multitask_parts.stats import difference, mean, shared, sign_test, table
from rltransfer.experiments.controls import stream
from rltransfer.metrics import auc, sign_flip_test

PART = "minigrid-transfer"
SOURCE = "source"
SETS = {"novel": "the two rooms that the source has not seen", "all": "all five rooms"}
ARMS = {
    "scratch": "nothing is carried over",
    "transfer": "encoder and trunk are carried over, everything trains",
    "transfer-frozen": "encoder and trunk are carried over, and do not train",
    "permuted": "the carried weights are shuffled within each tensor, everything trains",
    "random-frozen": "encoder and trunk stay as they were drawn",
}
HOWS = {"mean": "most likely actions", "stochastic": "sampled actions"}
MEASURES = {"auc": "area", "final": "final"}
FROZEN = ("transfer-frozen", "random-frozen")
#: Name of the encoder that all rooms share.
SHARED = "view"


def plan(settings: Mapping[str, Any], seeds: Sequence[int]) -> list[Job]:
    """List the runs: each seed has a source of its own."""
    left_out = ("more_tasks", "sets")
    common = {name: value for name, value in settings.items() if name not in left_out}
    jobs = []
    for seed in seeds:
        source = Job(part=PART, arm=SOURCE, seed=seed, settings=common)
        for name in settings["sets"]:
            for arm in ARMS:
                own = {**common, "tasks": tasks_of(settings, name), "set": name, "label": arm}
                needs = {} if arm == "scratch" else {SOURCE: source}
                label = f"{arm}-on-{name}"
                jobs.append(Job(part=PART, arm=label, seed=seed, settings=own, needs=needs))
    return jobs


def tasks_of(settings: Mapping[str, Any], name: str) -> list[str]:
    """Rooms of a set of targets."""
    return [*(settings["tasks"] if name == "all" else ()), *settings["more_tasks"]]


def run(job: Job, out: Path) -> Result:
    """Train once."""
    torch.set_num_threads(1)
    tasks = job.settings["tasks"]
    options = {id: {"encoder": SHARED, **job.settings["task_options"].get(id, {})} for id in tasks}
    settings = {**job.settings, "task_options": options}
    frozen = _frozen(settings["policy"]["trunk"]) if settings.get("label") in FROZEN else ()
    model = learning.build(settings, tasks, job.seed, freeze=frozen)
    fresh = _carry_over(job, model, out) if job.needs else []
    result = learning.learn(model, settings, settings["steps_per_task"] * len(tasks))
    if job.arm == SOURCE:
        backbone.save(model, job.agent(out))
    return {**result, "not_carried": fresh}


def _frozen(trunk: str) -> tuple[str, ...]:
    """Layers that are carried over whole: what mixes experts for a task is the task's own."""
    return ("encoder.*", "trunk.0") if trunk == "moore" else backbone.PATTERNS


def _carry_over(job: Job, model: Any, out: Path) -> list[str]:
    weights = backbone.load(job.needs[SOURCE].agent(out))
    if job.settings["label"] == "permuted":
        weights = backbone.permuted(weights, stream("permuted", job.seed))
    # What the statistics of observations say is not what is in question.
    if job.settings["label"] == "random-frozen":
        weights = {**model.policy.state_dict(), **backbone.statistics(weights)}
    return backbone.put(model, weights)


def scores(
    results: Sequence[Result], arm: str, tasks: Sequence[str], measure: str, how: str
) -> dict[int, float]:
    """Mean over tasks of the area under the curve, or of the final return, by seed.

    Args:
        results: Results of one set of targets.
        arm: Name of the arm.
        tasks: Tasks to average over.
        measure: A key of :data:`MEASURES`.
        how: A key of :data:`HOWS`.
    """
    found = {}
    for one in results:
        if one["settings"].get("label") != arm or how not in next(iter(one["final"].values())):
            continue
        if measure == "final":
            values = [one["final"][task][how] for task in tasks]
        else:
            values = [float(auc(*learning.curve_of(one, task, how))) for task in tasks]
        found[one["seed"]] = float(np.mean(values))
    return found


def on_set(results: Sequence[Result], name: str) -> list[Result]:
    """Results on one set of targets."""
    return [one for one in results if one["settings"].get("set") == name]


def page(settings: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Describe the results."""
    parts = [_introduction(settings), "".join(f"- `{a}`: {words}\n" for a, words in ARMS.items())]
    for name in settings["sets"]:
        tasks, own = tasks_of(settings, name), on_set(results, name)
        parts.append(f"### On {SETS[name]}\n")
        for how in HOWS:
            if any(how in next(iter(one["final"].values())) for one in own):
                parts.append(f"Means over the rooms, {HOWS[how]}:\n\n{_arms(tasks, own, how)}")
                parts.append(f"By room, {HOWS[how]}:\n\n{_by_room(tasks, own, how)}")
    return "\n".join(parts)


def _introduction(settings: Mapping[str, Any]) -> str:
    policy, steps = settings["policy"], settings["steps_per_task"]
    kind = f"a `{policy['trunk']}` trunk with {policy['trunk_kwargs'] or 'its defaults'}"
    view = "convolutions" if policy.get("encoder_kind") == "grid" else "one linear layer"
    given = settings["hyperparameters"]
    rollout = given["n_steps"] * settings["n_envs"]
    return (
        "## From three MiniGrid rooms to others\n\n"
        f"A model learns {', '.join(settings['tasks'])} with {steps:,} steps a room. Its encoder "
        "and trunk (the actor's and the critic's) begin a model of "
        f"{', '.join(settings['more_tasks'])} (`novel`), and one of all these rooms (`all`), with "
        f"{steps:,} steps a room and new heads for each. Each seed has a source of its own. "
        "`novel` is the published setting (Hendawy et al. 2024, arXiv:2311.11385, figure 3, and "
        "`TL3_5` of the authors' code), where beginning with what was learned on three rooms beats "
        "beginning without it: a positive difference from `scratch` has the published sign. The "
        "authors evaluate with sampled actions.\n\n"
        f"Not as published: {view} on the 7x7x3 view, {policy['width']} wide, and {kind} (there: "
        "convolutions, and a mixture of orthogonal experts as well as plain layers); observations "
        "are normalized by running statistics; values are learned in normalized units; "
        f"{len(ARMS)} arms on the seeds below (there: 30 seeds). PPO has "
        f"rollouts of {rollout:,} steps a room, minibatches of {settings['batch_per_task']} a "
        f"room, and {given} (there: 2,000 steps, 256, 8 epochs, 1e-3 and 0.01). All arms but "
        "`scratch` begin with the source's statistics of observations, so that these are not the "
        "difference between them. Returns are within [0, 1]; the area is the mean height of the "
        "learning curve on held-out episodes.\n"
    )


def _arms(tasks: Sequence[str], results: Sequence[Result], how: str) -> str:
    rows = []
    for arm in ARMS:
        row: list[Any] = [arm]
        for measure in MEASURES:
            scored = {one: scores(results, one, tasks, measure, how) for one in ARMS}
            own, scratch, transfer = (scored[one] for one in (arm, "scratch", "transfer"))
            row.append(mean(own) if own else "-")
            compared = arm != "scratch" and shared(own, scratch)
            row.append(_compared(own, scratch) if compared else "")
            compared = arm != "transfer" and shared(own, transfer)
            row.append(difference(transfer, own).signed() if compared else "")
        rows.append(row)
    than = ("", " - scratch", ", transfer - this")
    return table(["arm", *(f"{words}{what}" for words in MEASURES.values() for what in than)], rows)


def _compared(values: Mapping[int, float], baseline: Mapping[int, float]) -> str:
    differences = [values[seed] - baseline[seed] for seed in shared(values, baseline)]
    above, below, p = sign_test(differences)
    flip = sign_flip_test(differences)
    found = difference(values, baseline).signed()
    return f"{found}; {above} up, {below} down, p {p:.3f}, sign-flip p {flip:.3f}"


def _by_room(tasks: Sequence[str], results: Sequence[Result], how: str) -> str:
    rows = []
    for task in tasks:
        for measure, words in MEASURES.items():
            by_arm = {arm: scores(results, arm, [task], measure, how) for arm in ARMS}
            cells = [mean(values) if values else "-" for values in by_arm.values()]
            ready = shared(by_arm["transfer"], by_arm["scratch"])
            gained = difference(by_arm["transfer"], by_arm["scratch"]).signed() if ready else "-"
            rows.append([task, words, *cells, gained])
    return table(["room", "measure", *ARMS, "transfer - scratch"], rows)


def rows(settings: Mapping[str, Any], results: Sequence[Result]) -> list[Row]:
    """Numbers over seeds."""
    found = []
    for name in settings["sets"]:
        tasks, own = tasks_of(settings, name), on_set(results, name)
        for label, listed in [("mean over rooms", tasks), *((task, [task]) for task in tasks)]:
            for how in HOWS:
                for measure in MEASURES:
                    scored = {arm: scores(own, arm, listed, measure, how) for arm in ARMS}
                    title = f"{measure}_{'deterministic' if how == 'mean' else how}"
                    found += _rows(name, label, title, scored)
    return found


def _rows(
    name: str, task: str, measure: str, scored: Mapping[str, Mapping[int, float]]
) -> list[Row]:
    found = []
    for arm, values in scored.items():
        label = f"{arm}-on-{name}"
        if values:
            found.append(of_estimate(PART, label, task, measure, mean(values)))
        if arm != "scratch" and shared(values, scored["scratch"]):
            gained = difference(values, scored["scratch"])
            found.append(of_estimate(PART, label, task, f"{measure}_minus_scratch", gained))
    return found
