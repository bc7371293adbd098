"""Results of `benchmarks/same_learning.py`: curves, areas, tests and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import numpy as np
from equivalence import equivalence

IMPLEMENTATIONS = ("sb3", "ours")
#: Largest difference of areas that counts as none: of the mean over tasks, and of a task.
MARGIN, TASK_MARGIN = 0.05, 0.10
PARTS = 20
EXPLANATION = """\
Areas under the learning curves, 0 for random actions and 1 for the reference of the task; mean and
standard deviation over seeds. The difference is ours - sb3 with its 90 % interval; `same` where
that lies within the margin. Runs of one seed have the same episodes up to the step in the last
column, the median over seeds. What ours did is listed below the table.
"""
#: One training run: task, implementation, seed, settings, episodes.
Run = Mapping[str, Any]


def curve(run: Run) -> np.ndarray:
    """Learning curve on the scale of the task.

    Returns:
        Mean normalized return of the episodes that ended in each part of the budget, shape
        (PARTS,); a part in which none ended lies between its neighbors.

    Raises:
        ValueError: No episode ended.
    """
    settings = run["settings"]
    steps, returns = np.array(run["episodes"], dtype=float).reshape(-1, 2).T
    if not steps.size:
        raise ValueError(f"no episode of {run['task']} ended in {settings['steps']} steps")
    scores = (returns - settings["random"]) / (settings["reference"] - settings["random"])
    # Learning goes on to the end of a rollout, past the budget.
    parts = np.minimum((steps - 1) * PARTS // settings["steps"], PARTS - 1).astype(int)
    counts = np.bincount(parts, minlength=PARTS)
    filled = np.flatnonzero(counts)
    means = np.bincount(parts, scores, PARTS)[filled] / counts[filled]
    return np.interp(np.arange(PARTS), filled, means)


def same_until(run: Run, other: Run) -> int:
    """Environment steps up to which two runs had the same episodes."""
    missing = (run["settings"]["steps"], np.inf)
    pairs = zip_longest(run["episodes"], other["episodes"], fillvalue=missing)
    for (steps, score), (other_steps, other_score) in pairs:
        # Returns are sums in float32 or float64, rounded to 6 digits.
        if steps != other_steps or abs(score - other_score) > 1e-4 * max(1.0, abs(score)):
            return int(min(steps, other_steps))
    return int(run["settings"]["steps"])


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Areas, differences and tests, of each task and of all."""
    table: dict[str, dict[int, dict[str, Run]]] = {}
    for run in runs:
        table.setdefault(run["task"], {}).setdefault(run["seed"], {})[run["implementation"]] = run
    tasks = {task: _summarize_task(by_seed) for task, by_seed in table.items()}
    differences = [task["differences"] for task in tasks.values()]
    return {"overall": asdict(equivalence(differences, MARGIN)), "tasks": tasks}


def _summarize_task(by_seed: dict[int, dict[str, Run]]) -> dict[str, Any]:
    curves = {
        name: np.array([curve(runs[name]) for runs in by_seed.values()]) for name in IMPLEMENTATIONS
    }
    areas = {name: values.mean(axis=1) for name, values in curves.items()}
    differences = areas["ours"] - areas["sb3"]
    at = curves["ours"] - curves["sb3"]
    points = [equivalence([at[:, part].tolist()], TASK_MARGIN) for part in range(PARTS)]
    any_run = next(iter(by_seed.values()))["ours"]
    return {
        "seeds": list(by_seed),
        "settings": any_run["settings"],
        "engine": any_run["engine"],
        "versions": any_run["versions"],
        "areas": {name: values.tolist() for name, values in areas.items()},
        "differences": differences.tolist(),
        "equivalence": asdict(equivalence([differences.tolist()], TASK_MARGIN)),
        "spread": float(areas["sb3"].std(ddof=1)),
        "same_until": [same_until(runs["sb3"], runs["ours"]) for runs in by_seed.values()],
        "curves": {name: values.round(5).tolist() for name, values in curves.items()},
        "points": [[point.mean, point.low, point.high] for point in points],
    }


def document(summary: Mapping[str, Any]) -> str:
    """The summary as a page."""
    tasks = summary["tasks"]
    seeds = sorted({seed for task in tasks.values() for seed in task["seeds"]})
    overall = _interval(summary["overall"])
    note = f"Made by `{summary['command']}`: seeds {', '.join(map(str, seeds))}.\n{EXPLANATION}"
    verdict = f"Mean over tasks: {overall}, margin {summary['margin']:.2f}.\n"
    engines = "".join(f"- {name}: {_engine(task)}\n" for name, task in tasks.items())
    parts = ("# The same learning\n", note, _areas(tasks), verdict, engines, _points(tasks))
    return "\n".join(parts)


def _engine(task: Mapping[str, Any]) -> str:
    lines = (task["engine"] or "no engine").splitlines()
    return "; ".join(" ".join(line.split()) for line in lines)


def _areas(tasks: Mapping[str, Any]) -> str:
    head = ["task", "steps", "sb3", "ours", "difference", "margin", "same episodes until"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, task in tasks.items():
        lines.append(
            [
                name,
                f"{task['settings']['steps']:,}",
                *(_spread(task["areas"][implementation]) for implementation in IMPLEMENTATIONS),
                _interval(task["equivalence"]),
                f"{task['equivalence']['margin']:.2f}",
                f"{np.median(task['same_until']):,.0f}",
            ]
        )
    return _table(lines)


def _points(tasks: Mapping[str, Any]) -> str:
    lines = [["part of the budget", *tasks], ["---", *["---:"] * len(tasks)]]
    for part in range(PARTS):
        values = [task["points"][part] for task in tasks.values()]
        cells = [f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" for mean, low, high in values]
        lines.append([f"{(part + 1) / PARTS:.0%}", *cells])
    return f"Differences along the curves, with 90 % intervals:\n\n{_table(lines)}"


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _interval(test: Mapping[str, float]) -> str:
    shown = -test["margin"] < test["low"] and test["high"] < test["margin"]
    verdict = "same" if shown else "not shown"
    return f"{test['mean']:+.3f} [{test['low']:+.3f}, {test['high']:+.3f}] {verdict}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
