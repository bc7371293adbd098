"""One figure for each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multitask_parts import classic4, family, learning, retention, rooms, speed
from multitask_parts.jobs import Result
from multitask_parts.stats import Estimate, mean
from rltransfer.metrics import on_grid
from rltransfer.report import style

Settings = Mapping[str, Any]
NOTE = "Mean over seeds and its 95 % interval"


def draw(part: str, settings: Settings, results: Sequence[Result], path: Path) -> None:
    """Write the figure of a part."""
    style.write_png(_FIGURES[part](settings, results), path)


def _classic4(settings: Settings, results: Sequence[Result]) -> Any:
    tasks, budget = settings["tasks"], settings["steps_per_task"]
    made = style.figure(11, 3.6)
    axes = made.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    colors = style.colors(["scratch", "full"])
    for axis, task in zip(axes, tasks, strict=True):
        for arm, label, color, share in (
            (classic4.single(task), "single", colors["scratch"], 1),
            ("multi", "multi", colors["full"], len(tasks)),
        ):
            curves = [_scaled(task, one, share=share) for one in results if one["arm"] == arm]
            _band(axis, curves, budget, color, label)
        axis.axhline(1, color=style.MUTED, linewidth=0.8, linestyle=":")
        axis.set_title(task, fontsize=10, color=style.INK)
        axis.set_ylim(-0.25, 1.25)
        style.step_axis(axis, budget)
        axis.set_xlabel("Steps on this task", fontsize=10)
        style.clean(axis)
    axes[0].set_ylabel("Normalized score")
    style.title(made, "Four classic tasks in one model, and in one model each")
    return _with_legend(made, axes[0], f"{NOTE}; dotted: the task's reference")


def _rooms(settings: Settings, results: Sequence[Result]) -> Any:
    panels = [
        (f"{name}: {task}", tasks, listed, rooms.on_set(results, name))
        for name in settings["sets"]
        for tasks in [rooms.tasks_of(settings, name)]
        for task, listed in [("mean over rooms", tasks), *((t, [t]) for t in tasks)]
    ]
    lines = -(-len(panels) // 3)
    made = style.figure(11, 3 * lines)
    axes = made.subplots(lines, 3, sharey=True).ravel()
    how = "stochastic" if settings["stochastic"] else "mean"
    colors = style.colors(["scratch", "full", "auto", "gradual", "head"]).values()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (name, tasks, listed, own) in zip(axes, panels, strict=False):
        for arm, color in zip(rooms.ARMS, colors, strict=True):
            chosen = [one for one in own if one["settings"]["label"] == arm]
            curves = [_of_tasks(listed, one, how, len(tasks)) for one in chosen]
            shaded = arm in ("scratch", "transfer")
            _band(axis, curves, settings["steps_per_task"], color, arm, shaded=shaded)
        axis.set_title(name, fontsize=10, color=style.INK)
        axis.set_ylim(-0.02, 1.02)
        style.step_axis(axis, settings["steps_per_task"])
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("Steps on each room", fontsize=10)
        style.clean(axis)
    axes[0].set_ylabel(f"Return, {rooms.HOWS[how]}")
    style.title(made, "From three MiniGrid rooms to two others, and to all five")
    return _with_legend(made, axes[0], f"{NOTE}, which is drawn for scratch and transfer")


def _family(settings: Settings, results: Sequence[Result]) -> Any:
    made = style.figure(11, 4.6)
    axes = made.subplots(1, 2)
    for axis, measure, words in (
        (axes[0], "zero-shot", "Normalized score before any training on the target"),
        (axes[1], "gain", "Area under the curve minus scratch, normalized"),
    ):
        places = family.comparisons(settings, results, measure)
        for arm, shift, color in (("multi", -0.15, "#0072B2"), ("best single", 0.15, "#D55E00")):
            shown: list[Estimate] = [mean(place[arm]) for place in places]
            where = np.arange(len(shown)) + shift
            _dots(axis, where, shown, color, arm)
        axis.set_yticks(range(len(places)), [place["label"] for place in places], fontsize=8.5)
        axis.invert_yaxis()
        axis.set_xlabel(words, fontsize=10)
        style.clean(axis, grid="x")
    style.title(made, "CartPoles that no source has seen: one source of four, or one of each")
    return _with_legend(made, axes[0], NOTE)


def _retention(settings: Settings, results: Sequence[Result]) -> Any:
    made = style.figure(11, 3.4)
    axes = made.subplots(1, 2 * len(settings["new_tasks"]), squeeze=False)[0]
    colors = dict(zip(retention.WORDS, ("#6B7280", "#009E73", "#E69F00", "#0072B2"), strict=True))
    for new, axis, lost in zip(settings["new_tasks"], axes[::2], axes[1::2], strict=True):
        for label, color in colors.items():
            own = [one for one in results if one["arm"] == f"{label}-{new}"]
            _band(axis, [_scaled(new, one, share=1) for one in own], settings["new_steps"], color,
                  label)  # fmt: skip
            found = [retention.retained(results, new, label, id) for id in settings["tasks"]]
            if all(found):
                shift = 0.2 * (list(colors).index(label) - 2)
                where = np.arange(len(found)) + shift
                _dots(lost, where, [mean(change) for change in found], color, label)
        axis.set_title(new, fontsize=9, color=style.INK)
        style.step_axis(axis, settings["new_steps"])
        axis.locator_params(axis="x", nbins=4)
        style.clean(axis)
        names = [id.partition("-")[0] for id in settings["tasks"]]
        lost.set_yticks(range(len(names)), names, fontsize=8.5)
        lost.set_title("what old tasks lose", fontsize=9, color=style.INK)
        style.clean(lost, grid="x")
    axes[0].set_ylabel("Normalized score")
    style.title(made, "A new task on a trained trunk")
    return _with_legend(made, axes[0], NOTE)


def _speed(settings: Settings, results: Sequence[Result]) -> Any:
    made = style.figure(7, 1.6 + 0.5 * len(results))
    axis = made.subplots()
    _dots(axis, np.arange(len(results)), [speed.speed_up(one) for one in results], "#0072B2", "")
    axis.set_yticks(range(len(results)), [one["arm"].replace("-", " ") for one in results])
    axis.axvline(1, color=style.MUTED, linewidth=0.8, linestyle=":")
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.set_xlabel("Steps a second of the multi-task model, by the single-task models'")
    style.clean(axis, grid="x")
    style.title(made, "Speed of one model of four tasks")
    return made


def _scaled(task: str, result: Result, *, share: int) -> tuple[Any, Any]:
    """Curve of one task over the steps that it got, in normalized scores."""
    steps, values = learning.curve_of(result, task)
    return steps / share, learning.normalized(task, values)


def _of_tasks(tasks: Sequence[str], result: Result, how: str, share: int) -> tuple[Any, Any]:
    steps, _ = learning.curve_of(result, tasks[0], how)
    return steps / share, np.mean([learning.curve_of(result, t, how)[1] for t in tasks], axis=0)


def _band(
    axis: Any,
    curves: Sequence[Any],
    budget: int,
    color: str,
    label: str,
    *,
    shaded: bool = True,
) -> None:
    if not curves:
        return
    grid = np.linspace(0, min(budget, *(steps[-1] for steps, _ in curves)), 41)
    table = np.array([on_grid(steps, values, grid) for steps, values in curves])
    found = [mean(column.tolist()) for column in table.T]
    axis.plot(grid, [one.value for one in found], color=color, label=label)
    if not shaded:
        return
    low, high = [one.low for one in found], [one.high for one in found]
    axis.fill_between(grid, low, high, color=color, alpha=0.15, linewidth=0)


def _dots(axis: Any, where: Any, shown: Sequence[Estimate], color: str, label: str) -> None:
    if not shown:
        return
    values = np.array([one.value for one in shown])
    ends = np.array([[one.value - one.low, one.high - one.value] for one in shown]).T
    known = None if np.isnan(ends).any() else np.maximum(ends, 0)
    axis.errorbar(values, where, xerr=known, fmt="o", color=color, label=label, capsize=3)


def _with_legend(made: Any, axis: Any, note: str) -> Any:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        style.legend(made, dict(zip(labels, handles, strict=True)), note=note)
    return made


_FIGURES = {
    classic4.PART: _classic4,
    rooms.PART: _rooms,
    family.PART: _family,
    retention.PART: _retention,
    speed.PART: _speed,
}
