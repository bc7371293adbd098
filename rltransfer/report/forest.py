"""Gains over scratch of many comparisons at a glance."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rltransfer.errors import BadArgument
from rltransfer.report import style
from rltransfer.report.summary import Row, Summary

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _GAP = 0.17, 0.22  # inches
_OPEN: dict[str, Any] = {"markerfacecolor": "white"}
_HALF: dict[str, Any] = {"fillstyle": "bottom", "markerfacecoloralt": "white"}
_FILL: dict[str, dict[str, Any]] = {
    "helped": {},
    "hurt": {},
    "likely helped": _HALF,
    "likely hurt": _HALF,
}


def plot_pairs(
    summaries: Sequence[Summary], path: str | os.PathLike[str], *, title: str | None = None
) -> Path:
    """Draw the gain in AUC of every method on every pair, with 95 % intervals.

    Full marks are verdicts ("helped", "hurt"), half-full ones likely ("likely helped", "likely
    hurt"), and open ones not settled. Negative controls have a tinted background and say so.

    Args:
        summaries: One per pair, all with normalized scores or all with returns.
        path: Of the PNG file to write.
        title: Heading of the figure.

    Returns:
        The path.

    Raises:
        BadArgument: There is nothing to draw, score units are mixed, or the name does not end in
            ``.png``.
        NotWritable: The file cannot be written.
    """
    return style.write_png(pairs_figure(summaries, title=title), path)


def pairs_figure(summaries: Sequence[Summary], *, title: str | None = None) -> Figure:
    """Draw the figure of :func:`plot_pairs` without writing it."""
    if not any(summary.methods for summary in summaries):
        raise BadArgument("no recipe other than scratch and controls to plot; run at least one")
    if len({summary.normalized for summary in summaries}) > 1:
        raise BadArgument("normalized scores and returns do not share an axis; plot them apart")
    recipes = dict.fromkeys(row.recipe for s in summaries for row in s.methods)
    looks = _looks(list(recipes))
    heights = [_ROW * max(len(s.methods), 1) + _GAP for s in summaries]
    made = style.figure(6.8, sum(heights) + 1.5)
    ax = made.subplots()
    style.clean(ax, grid="x")
    ax.axvline(0, color=style.INK, linewidth=1.0, zorder=2)
    top = 0.0
    for summary, height in zip(summaries, heights, strict=True):
        _draw_pair(ax, summary, top, height, looks)
        top += height
    ax.set_ylim(top, 0)
    _label_pairs(ax, summaries, heights)
    _label_gain(ax, summaries[0].normalized)
    _legend(made, looks)
    style.title(made, title or "Gain over training from scratch")
    return made


def _draw_pair(
    ax: Axes, summary: Summary, top: float, height: float, looks: dict[str, dict[str, Any]]
) -> None:
    if summary.expect == "hurt":
        ax.axhspan(top, top + height, color="#fff1e5", linewidth=0, zorder=0)
    ax.axhline(top + height, color=style.RULE, linewidth=0.7, zorder=1)
    for i, row in enumerate(summary.methods):
        _draw_row(ax, row, top + _GAP / 2 + (i + 0.5) * _ROW, looks[row.recipe])


def _draw_row(ax: Axes, row: Row, y: float, look: dict[str, Any]) -> None:
    if not math.isnan(row.gain.low):
        ax.plot(row.gain[1:], (y, y), color=look["color"], linewidth=1.8, zorder=3)
    ax.plot(row.gain.mean, y, zorder=4, **look, **_FILL.get(row.verdict, _OPEN))


def _looks(recipes: Sequence[str]) -> dict[str, dict[str, Any]]:
    colors, markers = style.colors(recipes), style.markers(recipes)
    return {
        name: {"color": colors[name], "marker": markers[name], "ms": 6, "mew": 1.4}
        for name in recipes
    }


def _label_pairs(ax: Axes, summaries: Sequence[Summary], heights: Sequence[float]) -> None:
    centers = [sum(heights[:i]) + height / 2 for i, height in enumerate(heights)]
    ax.set_yticks(centers, [_pair_label(summary) for summary in summaries])
    for text in ax.get_yticklabels():
        text.set(fontsize=9.5, color=style.INK, parse_math=False)


def _pair_label(summary: Summary) -> str:
    counts = sorted({len(row.seeds) for row in summary.methods or summary.rows})
    seeds = f"{'-'.join(map(str, counts))} seed{'s' * (counts != [1])}"
    return f"{summary.label}\n{seeds}{', expected to hurt' * (summary.expect == 'hurt')}"


def _label_gain(ax: Axes, normalized: bool) -> None:
    unit = "normalized score" if normalized else "return"
    ax.set_xlabel(f"AUC gain over scratch ({unit})", color=style.INK, fontsize=10)
    for text, side, shift in (("\u2190 hurts", "right", -6), ("helps \u2192", "left", 6)):
        ax.annotate(
            text, (0, 1), xycoords=("data", "axes fraction"), xytext=(shift, 4), ha=side,
            textcoords="offset points", fontsize=9.5, color=style.MUTED,
        )  # fmt: skip


def _legend(made: Figure, looks: dict[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    entries: dict[str, Artist] = {
        name: Line2D([], [], lw=1.8, **look) for name, look in looks.items()
    }
    style.legend(
        made,
        entries,
        note="Full marks: helped or hurt. Half-full: likely so. Open: not settled.\n"
        "Marks are means over paired seeds, bars their 95% intervals.",
    )
