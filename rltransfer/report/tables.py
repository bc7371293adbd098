"""Summaries as tables, for a terminal or for Markdown."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rltransfer.errors import BadArgument
from rltransfer.report.summary import Row, Summary, ThresholdTime
from rltransfer.report.wording import (
    headline,
    interval,
    number,
    p_value,
    percent,
    targets,
    times,
)

WIDTH = 100


@dataclass(frozen=True)
class Block:
    """A small table.

    Attributes:
        title: What it is about.
        header: Column names; the first column is text, the others are numbers.
        rows: Cells, as many as column names.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def blocks(summary: Summary) -> list[Block]:
    """Lay a summary out as small tables, each narrow enough for a terminal.

    Args:
        summary: The numbers.

    Returns:
        Gain and verdict; jumpstart and final score; steps to the thresholds, if scores are
        normalized.
    """
    found = [_gains(summary), _parts(summary)]
    return [*found, _times(summary)] if summary.normalized else found


def table(summary: Summary, fmt: Literal["text", "markdown"] = "text") -> str:
    """Write a summary as tables.

    Args:
        summary: The numbers.
        fmt: ``"text"`` is plain ASCII with aligned columns, at most 100 wide unless a recipe has a
            very long name; ``"markdown"`` is for GitHub.

    Returns:
        Several lines, without a newline at the end.

    Raises:
        BadArgument: The format is unknown.
    """
    if fmt not in ("text", "markdown"):
        raise BadArgument(f"table format {fmt!r}; expected 'text' or 'markdown'")
    title = f"{summary.label}: {summary.source} -> {summary.target}"
    notes = [f"{name}: {note}" for name, note in summary.notes.items()]
    if fmt == "markdown":
        parts = [f"### {title}", facts(summary), f"**{headline(summary)}**"]
        parts += [f"{_escape(block.title)}\n\n{_markdown(block)}" for block in blocks(summary)]
        parts += ["\n".join(f"- {_escape(note)}" for note in notes)] if notes else []
        return "\n\n".join([*parts, "<br>\n".join(map(_escape, legend(summary)))])
    lines = [title, facts(summary), headline(summary)]
    parts = ["\n".join(_wrap(line) for line in lines)]
    parts += [f"{block.title}\n{_text(block)}" for block in blocks(summary)]
    parts += ["\n".join(map(_wrap, notes))] if notes else []
    return "\n\n".join([*parts, "\n".join(legend(summary))])


def facts(summary: Summary) -> str:
    """State budget, source cost and number of seeds on one line."""
    seeds = sorted({len(row.seeds) for row in summary.transferred or summary.rows})
    count = "-".join(map(str, [seeds[0], seeds[-1]][: len(seeds)]))
    scale = "score 0 = random, 1 = reference" if summary.normalized else "score = return"
    return (
        f"{summary.budget:,} steps on the target, {summary.source_steps:,} on the source, "
        f"{count} seed{'s' * (count != '1')}, {scale}"
    )


def legend(summary: Summary) -> list[str]:
    """Explain the columns, one line each."""
    lines = [
        "AUC: mean score in training; final: mean over the last 10% of the steps; -: not defined",
        "gain: difference to scratch, paired by seed; with few seeds the intervals are too narrow",
        "p: sign-flip test of the AUC gain, adjusted for the number of recipes (Holm)",
    ]
    if not summary.normalized:
        return lines
    return [
        *lines,
        "ratio: AUC gain by AUC of scratch; forward: AUC gain by the room left to a score of 1",
        "steps: mean, and how many runs got there; >=: the others count with the whole budget",
        "break-even: targets after which the steps saved repay the source; never: none were saved",
    ]


def _gains(summary: Summary) -> Block:
    rows = [
        (
            row.recipe,
            row.verdict,
            interval(row.gain, normalized=summary.normalized),
            p_value(row.p_holm),
            number(row.auc, normalized=summary.normalized),
            str(len(row.seeds)),
        )
        for row in summary.rows
    ]
    header = ("recipe", "verdict", "AUC gain [95% interval]", "p", "AUC", "seeds")
    return Block("Area under the learning curve", header, tuple(rows))


def _parts(summary: Summary) -> Block:
    header = ["recipe", "jumpstart [95% interval]", "final", "final gain [95% interval]"]
    header += ["ratio", "forward"] if summary.normalized else []
    title = "Before training and at the end"
    if summary.normalized:
        title += ", transfer ratio and forward transfer"
    return Block(
        title, tuple(header), tuple(_part(row, summary.normalized) for row in summary.rows)
    )


def _part(row: Row, normalized: bool) -> tuple[str, ...]:
    cells = (
        row.recipe,
        interval(row.jumpstart, normalized=normalized),
        number(row.asymptote, normalized=normalized),
        interval(row.asymptote_gain, normalized=normalized),
    )
    if not normalized:
        return cells
    ratio = "inf" if math.isinf(row.transfer_ratio) else number(row.transfer_ratio, sign=True)
    return (*cells, ratio, number(row.forward_transfer, sign=True))


def _times(summary: Summary) -> Block:
    main = middle(summary.rows[0].times)
    level = percent(summary.rows[0].times[main].threshold)
    header = ["recipe", *(f"{percent(t.threshold)}" for t in summary.rows[0].times)]
    header += [f"speed-up ({level})", f"break-even ({level})"]
    rows = []
    for row in summary.rows:
        at = row.times[main]
        gain = _bounded(times(at.speed_up), at, low=">=", high="<=")
        cost = _bounded(targets(at.break_even), at, low="<=", high=">=")
        rows.append((row.recipe, *map(_steps, row.times), gain, cost))
    return Block("Steps to a share of the reference score", tuple(header), tuple(rows))


def middle(levels: Sequence[ThresholdTime]) -> int:
    """Index of the threshold that stands for all of them: 50%, or else the middle one."""
    fractions = [level.threshold for level in levels]
    return fractions.index(0.5) if 0.5 in fractions else len(fractions) // 2


def _steps(time: ThresholdTime) -> str:
    if math.isnan(time.steps):
        return "-"
    bound = ">=" if time.reached < time.runs else ""
    return f"{bound}{time.steps:,.0f} ({time.reached}/{time.runs})"


def _bounded(text: str, time: ThresholdTime, *, low: str, high: str) -> str:
    """Mark a number as a bound: ``low`` if runs from scratch are censored, ``high`` if own."""
    if text in ("-", "at once", "never"):
        return text
    own, scratch = time.reached < time.runs, time.scratch_reached < time.runs
    return f"{'~' if own and scratch else high if own else low if scratch else ''}{text}"


def _text(block: Block) -> str:
    lines = [block.header, *block.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = {0} | {i for i, name in enumerate(block.header) if name == "verdict"}
    aligned = []
    for cells in (block.header, tuple("-" * width for width in widths), *block.rows):
        padded = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        aligned.append("  ".join(padded).rstrip())
    return "\n".join(aligned)


def _markdown(block: Block) -> str:
    rule = ["---", *("---" if name == "verdict" else "---:" for name in block.header[1:])]
    rows = [[_escape(cell) for cell in cells] for cells in (block.header, *block.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [rows[0], rule, *rows[1:]])


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
