"""Figures over many pairs: gains on each, aggregates, and performance profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rltransfer.report import style, svg
from rltransfer.report.overall import Overall, RecipeOverall
from rltransfer.report.summary import Estimate, Row, Summary

_FILL: Mapping[str, svg.Fill] = {
    "helped": "full",
    "hurt": "full",
    "likely helped": "half",
    "likely hurt": "half",
}
_ROW, _HEAD = 12.5, 21
_TINT = "#fff1e5"


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Color and marker of every recipe; scratch has no marker."""
    colors, markers = style.colors(names), style.markers(names)
    return {name: (colors[name], markers.get(name, "")) for name in dict.fromkeys(names)}


def forest(summaries: Sequence[Summary], names: Sequence[str], *, alt: str) -> str:
    """Draw the AUC gain of every method on every pair, with 95 % intervals.

    Args:
        summaries: One per pair, all of the same unit. Negative controls are tinted.
        names: All recipes of the page, which fix the looks.
        alt: What is seen, in words.

    Returns:
        SVG text.
    """
    drawn = looks(names)
    height = 24 + sum(_HEAD + _ROW * len(s.methods) + 5 for s in summaries) + 34
    ends = [end for s in summaries for row in s.methods for end in row.gain if not math.isnan(end)]
    frame = svg.Frame(svg_room([0.0, *ends]), (0, 1), 14, 346, 22, height - 34)
    parts, y = [], 22.0
    for summary in summaries:
        block = _HEAD + _ROW * len(summary.methods) + 5
        if summary.expect == "hurt":
            corners = [(0, y), (360, y), (360, y + block), (0, y + block)]
            parts.append(svg.area(corners, _TINT, opacity=1))
        y += block
    at = svg.ticks(*frame.x, 5)
    said = [style.steps(round(value, 6)) for value in at]
    parts += svg.axis_x(frame, at, said, grid=True) + _zero(frame)
    y = 22.0
    for summary in summaries:
        parts += _forest_pair(frame, summary, y, drawn)
        y += _HEAD + _ROW * len(summary.methods) + 5
    unit = "AUC gain over scratch" + (", normalized" if summaries[0].normalized else ", return")
    parts.append(svg.text(346, height - 4, unit, anchor="end", color=svg.MUTED))
    return svg.document(height, parts, alt=alt)


def aggregates(overall: Overall, *, alt: str) -> str:
    """Draw the interquartile mean of the AUC, and the chance to beat scratch, of every recipe."""
    recipes, drawn = overall.recipes, looks([recipe.recipe for recipe in overall.recipes])
    height = 26 + 19 * len(recipes) + 20
    ends = [end for r in recipes for end in r.iqm if not math.isnan(end)]
    left = svg.Frame(svg_room(ends), (0, 1), 104, 222, 24, height - 20)
    right = svg.Frame((0, 1), (0, 1), 240, 340, 24, height - 20)
    parts = [
        svg.text(left.left, 14, "IQM of the AUC", color=svg.MUTED),
        svg.text(right.left, 14, "beats scratch", color=svg.MUTED),
        *svg.axis_x(
            left, at := svg.ticks(*left.x, 3), [style.steps(round(v, 6)) for v in at], grid=True
        ),
        *svg.axis_x(right, [0, 0.5, 1], ["0%", "50%", "100%"], grid=True),
        svg.line([(right.across(0.5), 20), (right.across(0.5), right.bottom)], svg.INK, width=1.2),
    ]
    for i, recipe in enumerate(recipes):
        y, (color, shape) = 36 + 19 * i, drawn[recipe.recipe]
        parts.append(svg.text(4, y + 4, svg.short(recipe.recipe, 96)))
        for frame, value in ((left, recipe.iqm), (right, recipe.improvement)):
            parts += _estimate(frame, value, y, color, shape or "o", "full")
    return svg.document(height, parts, alt=alt)


def profile(overall: Overall, names: Sequence[str], *, alt: str) -> str:
    """Draw the share of runs above every threshold of the AUC, with 95 % bands.

    Args:
        overall: The numbers.
        names: Recipes to draw.
        alt: What is seen, in words.

    Returns:
        SVG text.
    """
    drawn = looks([recipe.recipe for recipe in overall.recipes])
    x = overall.thresholds
    frame = svg.Frame((float(x[0]), float(x[-1])), (0, 1), 44, 350, 24, 196)
    parts = svg.axis_y(frame, [0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    at = svg.ticks(*frame.x, 5)
    parts += svg.axis_x(frame, at, [style.steps(round(value, 6)) for value in at], grid=False)
    shown: list[RecipeOverall] = [r for r in overall.recipes if r.recipe in names]
    for recipe in shown:
        color, _ = drawn[recipe.recipe]
        parts.append(svg.band(frame, x, recipe.profile_low, recipe.profile_high, color))
    for i, recipe in enumerate(shown):
        color, shape = drawn[recipe.recipe]
        points = [frame.at(*point) for point in zip(x, recipe.profile, strict=True)]
        parts.append(svg.line(points, color, width=2, dash="" if shape else "5 3"))
        marked = points[2 * i :: len(points) // 5] if shape else []
        parts += [svg.mark(*point, shape, color, size=3.4) for point in marked]
    parts.append(svg.text(8, 14, "share of runs above", color=svg.MUTED))
    parts.append(svg.text(350, 228, "AUC, normalized score", anchor="end", color=svg.MUTED))
    return svg.document(232, parts, alt=alt)


def svg_room(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest of some numbers, with a margin."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _zero(frame: svg.Frame) -> list[str]:
    x = frame.across(0)
    return [
        svg.line([(x, 16), (x, frame.bottom)], svg.INK, width=1.2),
        svg.text(x - 5, 13, "\u2190 hurts", anchor="end", color=svg.MUTED),
        svg.text(x + 5, 13, "helps \u2192", color=svg.MUTED),
    ]


def _forest_pair(
    frame: svg.Frame, summary: Summary, top: float, drawn: Mapping[str, tuple[str, str]]
) -> list[str]:
    label = summary.label + (" (expected to hurt)" if summary.expect == "hurt" else "")
    parts = [svg.text(8, top + 14, svg.short(label, 340), bold=True)]
    for i, row in enumerate(summary.methods):
        y, look = top + _HEAD + _ROW * (i + 0.5), drawn[row.recipe]
        parts += _estimate(frame, row.gain, y, *look, _fill(row))
    return parts


def _fill(row: Row) -> svg.Fill:
    return _FILL.get(row.verdict, "open")


def _estimate(
    frame: svg.Frame, value: Estimate, y: float, color: str, shape: str, fill: svg.Fill
) -> list[str]:
    if math.isnan(value.mean):
        return []
    bar = [(frame.across(end), y) for end in value[1:] if not math.isnan(end)]
    drawn = [svg.line(bar, color, width=2)] if bar else []
    return [*drawn, svg.mark(frame.across(value.mean), y, shape, color, fill=fill)]
