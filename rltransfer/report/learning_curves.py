"""Learning curves of the arms of one comparison."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rltransfer.report import style
from rltransfer.report.curve_bands import band
from rltransfer.report.data import SCRATCH, Comparison

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(comparison: Comparison, path: str | os.PathLike[str], *, stochastic: bool = False) -> Path:
    """Draw learning curves: means with 95 % intervals, every run, random and reference level.

    Args:
        comparison: The learning curves.
        path: Of the PNG file to write.
        stochastic: Add a second panel with the scores of the stochastic policy.

    Returns:
        The path.

    Raises:
        BadArgument: The name does not end in ``.png``, or there are no stochastic scores.
        NotWritable: The file cannot be written.
    """
    return style.write_png(curves_figure(comparison, stochastic=stochastic), path)


def curves_figure(comparison: Comparison, *, stochastic: bool = False) -> Figure:
    """Draw the figure of :func:`plot` without writing it."""
    panels = _panels(comparison, stochastic)
    made = style.figure(6.4 if len(panels) == 1 else 11, 4.5)
    axes = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (name, scores) in zip(axes, panels.items(), strict=True):
        _draw(ax, scores, _looks(comparison))
        if len(panels) > 1:
            ax.set_title(name, loc="left", fontsize=10, color=style.MUTED)
    axes[0].set_ylabel(_score_label(comparison), color=style.INK, fontsize=10)
    if comparison.normalized:
        _raw_axis(axes[-1], comparison)
    control = "\nNegative control: expected to hurt" if comparison.expect == "hurt" else ""
    style.title(made, f"{comparison.source} \u2192 {comparison.target}{control}")
    _legend(made, comparison)
    return made


def _panels(c: Comparison, stochastic: bool) -> dict[str, Comparison]:
    """Methods on the left, and on the right the stochastic policy or else the controls."""
    methods = {name: arm for name, arm in c.arms.items() if arm.kind != "control"}
    left = replace(c, arms=methods)
    if stochastic:
        return {
            "Deterministic policy": left,
            "Stochastic policy (training)": left.stochastic(),
        }
    if not c.controls:
        return {"Deterministic policy": left}
    controls = {name: c.arms[name] for name in (SCRATCH, *c.controls)}
    return {"Methods": left, "Controls": replace(c, arms=controls)}


def _draw(ax: Axes, c: Comparison, looks: dict[str, dict[str, Any]]) -> None:
    style.clean(ax)
    style.step_axis(ax, c.budget)
    grid = c.grid()
    # Markers at other evaluations for each arm: arms with the same curve stay visible.
    every = max(len(c.arms), len(grid) // 5)
    for i, (name, arm) in enumerate(c.arms.items()):
        look, scores = looks[name], arm.on_grid(grid)
        faint = min(0.3, 1.8 / len(arm.runs))
        ax.plot(grid, scores.T, color=look["color"], alpha=faint, linewidth=0.6, zorder=2)
        if len(arm.runs) > 1:
            shown = band(arm, grid)
            ax.fill_between(
                grid, shown.low, shown.high, color=look["color"], alpha=0.2, linewidth=0, zorder=2
            )
        start = i * every // len(c.arms) % len(grid)
        ax.plot(grid, scores.mean(axis=0), zorder=3, markevery=(start, every), **look)
    _levels(ax, c)


def _levels(ax: Axes, c: Comparison) -> None:
    levels = (0.0, 1.0) if c.normalized else (c.random, c.reference)
    for name, level in zip(("random", "reference"), levels, strict=True):
        if level is not None:
            ax.axhline(level, color=style.INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
            ax.annotate(
                name, (0.994, level), xycoords=("axes fraction", "data"), xytext=(0, 3),
                textcoords="offset points", ha="right", fontsize=8.5, color=style.MUTED, zorder=4,
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    low, high = ax.get_ylim()
    margin = 0.04 * (high - low)
    ax.set_ylim(low - margin, high + margin)


def _score_label(c: Comparison) -> str:
    return "Normalized score" if c.normalized else "Mean episode return"


def _raw_axis(ax: Axes, c: Comparison) -> None:
    """Show returns in the units of the task on the right, if the scale is known."""
    low, high = c.random, c.reference
    if low is None or high is None:
        return
    right = ax.secondary_yaxis(
        "right",
        functions=(
            lambda score: low + np.asarray(score) * (high - low),
            lambda value: (np.asarray(value) - low) / (high - low),
        ),
    )
    right.set_ylabel("Mean episode return", color=style.MUTED, fontsize=9.5)
    right.tick_params(colors=style.MUTED, labelsize=9, length=0)
    right.spines["right"].set_visible(False)


def _legend(made: Figure, c: Comparison) -> None:
    from matplotlib.lines import Line2D

    looks = _looks(c)
    entries: dict[str, Artist] = {name: Line2D([], [], **looks[name]) for name in c.arms}
    counts = sorted({len(arm.seeds) for arm in c.arms.values()})
    seeds = "1 seed" if counts == [1] else f"{'-'.join(map(str, counts))} seeds"
    note = f"Thick: mean of {seeds}, with its 95% interval. Thin: single runs."
    style.legend(made, entries, note="One seed: no interval." if counts == [1] else note)


def _looks(c: Comparison) -> dict[str, dict[str, Any]]:
    """Line properties of every arm; scratch is dashed, the others carry markers."""
    colors, markers = style.colors(c.arms), style.markers(c.arms)
    return {
        name: {
            "color": colors[name],
            "lw": 2.2,
            "ls": (0, (4, 1.5)) if name == "scratch" else "-",
            "marker": markers.get(name, ""),
            "ms": 5.5,
            "mec": "white",
            "mew": 0.7,
        }
        for name in c.arms
    }
