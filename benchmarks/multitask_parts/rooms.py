"""Part b: the shared layers of three MiniGrid rooms, carried over to five, as MOORE did.

Hendawy et al. 2024, "Multi-Task Reinforcement Learning with Mixture of Orthogonal Experts",
arXiv:2311.11385, section 6.1 and figure 3: what was learned on MT3 initializes the shared layers
on MT5, which has the same three rooms and two more, and all heads are new.
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
from multitask_parts.stats import Estimate, difference, mean, shared, sign_test, table
from rltransfer.experiments.controls import stream
from rltransfer.metrics import auc, sign_flip_test

PART = "minigrid-transfer"
SOURCE = "source"
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
    before = [*settings["tasks"]]
    after = [*before, *settings["more_tasks"]]
    common = {name: value for name, value in settings.items() if name != "more_tasks"}
    jobs = []
    for seed in seeds:
        source = Job(part=PART, arm=SOURCE, seed=seed, settings=common)
        for arm in ARMS:
            needs = {} if arm == "scratch" else {SOURCE: source}
            own = {**common, "tasks": after}
            jobs.append(Job(part=PART, arm=arm, seed=seed, settings=own, needs=needs))
    return jobs


def run(job: Job, out: Path) -> Result:
    """Train once."""
    torch.set_num_threads(1)
    tasks = job.settings["tasks"]
    options = {id: {"encoder": SHARED, **job.settings["task_options"].get(id, {})} for id in tasks}
    settings = {**job.settings, "task_options": options}
    frozen = backbone.PATTERNS if job.arm in FROZEN else ()
    model = learning.build(settings, tasks, job.seed, freeze=frozen)
    fresh = _carry_over(job, model, out) if job.needs else []
    result = learning.learn(model, settings, settings["steps_per_task"] * len(tasks))
    if job.arm == SOURCE:
        backbone.save(model, job.agent(out))
    return {**result, "not_carried": fresh}


def _carry_over(job: Job, model: Any, out: Path) -> list[str]:
    weights = backbone.load(job.needs[SOURCE].agent(out))
    if job.arm == "permuted":
        weights = backbone.permuted(weights, stream("permuted", job.seed))
    if job.arm == "random-frozen":  # what the statistics say is not what is in question
        weights = {**model.policy.state_dict(), **backbone.statistics(weights)}
    return backbone.put(model, weights)


def scores(
    results: Sequence[Result], arm: str, tasks: Sequence[str], measure: str, how: str
) -> dict[int, float]:
    """Mean over tasks of the area under the curve, or of the final return, by seed."""
    found = {}
    for one in results:
        if one["arm"] != arm or how not in next(iter(one["final"].values())):
            continue
        if measure == "final":
            values = [one["final"][task][how] for task in tasks]
        else:
            values = [float(auc(*learning.curve_of(one, task, how))) for task in tasks]
        found[one["seed"]] = float(np.mean(values))
    return found


def page(settings: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Describe the results."""
    tasks = [*settings["tasks"], *settings["more_tasks"]]
    hows = [how for how in HOWS if scores(results, "scratch", tasks, "final", how)]
    tables = "\n".join(
        f"Mean over the five rooms, {HOWS[how]}:\n\n{_arms(tasks, results, how)}\n"
        f"By room, {HOWS[how]}:\n\n{_by_room(tasks, results, how)}"
        for how in hows
    )
    listed = "".join(f"- `{arm}`: {words}\n" for arm, words in ARMS.items())
    return f"{_introduction(settings)}\n{listed}\n{tables}\n"


def _introduction(settings: Mapping[str, Any]) -> str:
    policy, steps = settings["policy"], settings["steps_per_task"]
    kind = f"a `{policy['trunk']}` trunk with {policy['trunk_kwargs'] or 'its defaults'}"
    encoder = policy.get("encoder_kind", "auto")
    view = "convolutions on" if encoder == "grid" else "one linear layer on"
    return (
        "## From three MiniGrid rooms to five\n\n"
        f"A model learns {', '.join(settings['tasks'])} with {steps:,} steps a room; its encoder "
        "and trunk (actor's and critic's) begin a model of the same rooms and "
        f"{', '.join(settings['more_tasks'])}, with {steps:,} steps a room and new heads for all "
        "five. Each seed has a source of its own. The setting is that of MOORE (Hendawy et al. "
        "2024, arXiv:2311.11385, figure 3, transfer from MT3 to MT5), where beginning with what "
        "was learned on MT3 beats beginning without it: a positive difference has the published "
        "sign. Not as published: "
        f"{view} the flat 7x7x3 view, {policy['width']} wide, and {kind} "
        "(there: convolutions and a mixture of orthogonal experts); observations are normalized by "
        "running statistics; values are learned in normalized units. Hyperparameters of PPO are "
        "the published ones. All arms but `scratch` begin with the source's statistics of "
        "observations, so that these are not the difference. Returns are within [0, 1]; the area "
        "is the mean height of the learning curve on held-out episodes.\n"
    )


def _arms(tasks: Sequence[str], results: Sequence[Result], how: str) -> str:
    rows = []
    for arm in ARMS:
        row: list[Any] = [arm]
        for measure in MEASURES:
            values = scores(results, arm, tasks, measure, how)
            baseline = scores(results, "scratch", tasks, measure, how)
            row.append(mean(values) if values else "-")
            compared = arm != "scratch" and shared(values, baseline)
            row.append(_compared(values, baseline) if compared else "")
        rows.append(row)
    head = ["arm", "area", "area - scratch", "final", "final - scratch"]
    return table(head, rows)


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
    tasks = [*settings["tasks"], *settings["more_tasks"]]
    found = []
    for name, listed in [("all", tasks), *((task, [task]) for task in tasks)]:
        for how in HOWS:
            for measure in MEASURES:
                found += _rows(name, listed, results, measure, how)
    return found


def _rows(
    name: str, tasks: Sequence[str], results: Sequence[Result], measure: str, how: str
) -> list[Row]:
    label, found = f"{measure}_{'deterministic' if how == 'mean' else how}", []
    baseline = scores(results, "scratch", tasks, measure, how)
    for arm in ARMS:
        values = scores(results, arm, tasks, measure, how)
        if values:
            found.append(of_estimate(PART, arm, name, label, mean(values)))
        if arm != "scratch" and shared(values, baseline):
            gained: Estimate = difference(values, baseline)
            found.append(of_estimate(PART, arm, name, f"{label}_minus_scratch", gained))
    return found
