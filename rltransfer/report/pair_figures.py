"""Figures of one comparison: its learning curves, and its gains by source checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rltransfer.report import style, svg
from rltransfer.report.curve_bands import Band, band
from rltransfer.report.data import SCRATCH, Arm, Comparison
from rltransfer.report.pairing import area_tables, pair
from rltransfer.report.summary import Summary
from rltransfer.report.wording import number

_POINTS = 1200
"""Evaluations of single runs up to which each is drawn."""
_HEIGHT = 232


def curves(c: Comparison, names: Sequence[str], *, alt: str) -> str:
    """Draw the mean learning curves of some arms with their 95 % bands.

    Single runs are drawn too, if that is not too much ink.

    Args:
        c: The comparison; the look of an arm depends on all of its arms.
        names: Arms to draw, the first at the bottom.
        alt: What is seen, in words.

    Returns:
        SVG text.
    """
    grid, looks = c.grid(), dict(zip(c.arms, _looks(c), strict=True))
    bands = {name: band(c.arms[name], grid) for name in names}
    frame = _frame(c, list(bands.values()))
    parts = _axes(frame, c)
    single = draws_runs(c, names)
    for i, name in enumerate(names):
        color, shape = looks[name]
        if single:
            parts += _runs(frame, c.arms[name], grid, color)
        # Many bands over each other would hide the lines.
        faint = 0.16 if len(names) <= 6 else 0.05
        parts.append(svg.band(frame, grid, bands[name].low, bands[name].high, color, faint))
        parts += _curve(frame, grid, bands[name], color, shape, at=i / len(names))
    parts.append(svg.text(8, 14, _unit(c), color=svg.MUTED))
    parts.append(svg.text(352, _HEIGHT - 4, "steps on the target", anchor="end", color=svg.MUTED))
    return svg.document(_HEIGHT, parts, alt=alt)


def draws_runs(c: Comparison, names: Sequence[str]) -> bool:
    """Whether :func:`curves` draws each run of these arms."""
    return sum(len(c.arms[name].runs) for name in names) * len(c.grid()) <= _POINTS


def by_source(c: Comparison, summary: Summary, *, alt: str) -> str:
    """Draw the AUC gain of every method: a ring for each source, a full mark for all of them.

    Args:
        c: A comparison with several source checkpoints.
        summary: Its numbers.
        alt: What is seen, in words.

    Returns:
        SVG text.
    """
    looks = dict(zip(c.arms, _looks(c), strict=True))
    gains = {row.recipe: source_gains(c, row.recipe) for row in summary.methods}
    ends = [end for row in summary.methods for end in row.gain if not np.isnan(end)]
    ends += [gain for found in gains.values() for gain in found.values()]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    height = 30 + 26 * len(gains) + 34
    frame = svg.Frame(_room(low, high), (0, 1), 96, 350, 22, height - 34)
    at = svg.ticks(*frame.x, 4)
    parts = svg.axis_x(frame, at, [_said(value, c) for value in at], grid=True)
    zero = frame.across(0)
    parts.append(svg.line([(zero, 16), (zero, frame.bottom)], svg.INK, width=1.2))
    parts.append(svg.text(zero - 5, 13, "\u2190 hurts", anchor="end", color=svg.MUTED))
    parts.append(svg.text(zero + 5, 13, "helps \u2192", color=svg.MUTED))
    for i, row in enumerate(summary.methods):
        color, shape = looks[row.recipe]
        y = 38 + 26 * i
        parts.append(svg.text(4, y + 4, svg.short(row.recipe, 88)))
        if not np.isnan(row.gain.low):
            bar = [(frame.across(end), y) for end in row.gain[1:]]
            parts.append(svg.line(bar, color, width=2))
        for gain in gains[row.recipe].values():
            parts.append(svg.mark(frame.across(gain), y - 9, "o", color, size=3.2, fill="open"))
        parts.append(svg.mark(frame.across(row.gain.mean), y, shape, color, size=4.6))
    unit = "AUC gain over scratch"
    parts.append(svg.text(350, height - 4, unit, anchor="end", color=svg.MUTED))
    return svg.document(height, parts, alt=alt)


def source_gains(c: Comparison, recipe: str) -> dict[str, float]:
    """Mean paired gain in AUC of a recipe from each source checkpoint."""
    paired = pair(c.arms[recipe], c.arms[SCRATCH])
    area, scratch = area_tables(c, paired)
    means = np.nanmean(area - scratch, axis=1)
    return dict(zip(paired.sources or ("",), map(float, means), strict=True))


def _looks(c: Comparison) -> list[tuple[str, str]]:
    colors, markers = style.colors(c.arms), style.markers(c.arms)
    return [(colors[name], markers.get(name, "")) for name in c.arms]


def _frame(c: Comparison, bands: Sequence[Band]) -> svg.Frame:
    values = np.concatenate([np.concatenate(one) for one in bands])
    levels = [level for _, level in _levels(c)]
    low, high = _room(
        min([*levels, float(np.nanmin(values))]), max([*levels, float(np.nanmax(values))])
    )
    longest = max(len(_said(value, c)) for value in svg.ticks(low, high))
    return svg.Frame((0, c.budget), (low, high), 12 + 6.4 * longest, 350, 24, _HEIGHT - 36)


def _room(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _levels(c: Comparison) -> list[tuple[str, float]]:
    ends = (0.0, 1.0) if c.normalized else (c.random, c.reference)
    return [(n, v) for n, v in zip(("random", "reference"), ends, strict=True) if v is not None]


def _axes(frame: svg.Frame, c: Comparison) -> list[str]:
    at = svg.ticks(*frame.y)
    parts = svg.axis_y(frame, at, [_said(value, c) for value in at])
    across = svg.ticks(0, c.budget, 4)
    parts += svg.axis_x(frame, across, [style.steps(value) for value in across], grid=False)
    for name, level in _levels(c):
        y = frame.down(level)
        parts.append(svg.line([(frame.left, y), (frame.right, y)], svg.INK, width=1, dash="1 3"))
        parts.append(svg.text(frame.right, y - 4, name, anchor="end", color=svg.MUTED))
    return parts


def _said(value: float, c: Comparison) -> str:
    if c.normalized:
        return style.steps(round(value, 6))
    return number(value, normalized=False).removesuffix(".0")


def _unit(c: Comparison) -> str:
    return "normalized score" if c.normalized else "mean episode return"


def _runs(frame: svg.Frame, arm: Arm, grid: np.ndarray, color: str) -> list[str]:
    faint = min(0.35, 2.5 / len(arm.runs))
    return [
        svg.line(
            [frame.at(*point) for point in zip(grid, scores, strict=True)],
            color, width=0.7, opacity=faint,
        )
        for scores in arm.on_grid(grid)
    ]  # fmt: skip


def _curve(
    frame: svg.Frame, grid: np.ndarray, drawn: Band, color: str, shape: str, *, at: float
) -> list[str]:
    """A line and a few markers; those of different arms start at different places."""
    points = [frame.at(*point) for point in zip(grid, drawn.mean, strict=True)]
    every = max(1, len(points) // 4)
    first = int(at * every)
    return [
        svg.line(points, color, width=2, dash="" if shape else "5 3"),
        *(svg.mark(*point, shape, color, size=3.4) for point in points[first::every] if shape),
    ]
