"""Summaries as small tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rltransfer.report.knowledge import KNOWLEDGE_CONTROLS
from rltransfer.report.summary import Row, Summary, ThresholdTime
from rltransfer.report.wording import (
    interval,
    knowledge,
    number,
    p_value,
    percent,
    seeds_needed,
    targets,
    times,
)


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
        normalized; and, where there are controls, what they gained, whether the methods beat them,
        and the final scores against scratch that had the steps of the source as well.
    """
    found = [_gains(summary), _parts(summary)]
    if summary.normalized:
        found.append(_times(summary))
    if summary.controls:
        found.append(_controls(summary))
    if any(row.knowledge for row in summary.methods):
        found.append(_knowledge(summary))
    if any(row.cost_gain for row in summary.methods):
        found.append(_costs(summary))
    return found


def facts(summary: Summary) -> str:
    """State budget, source cost and number of seeds on one line."""
    seeds = sorted({len(row.seeds) for row in summary.transferred or summary.rows})
    count = "-".join(map(str, [seeds[0], seeds[-1]][: len(seeds)]))
    sources = max((len(row.sources) for row in summary.rows), default=0)
    of_each = f" of each of {sources} source checkpoints" if sources > 1 else ""
    scale = "score 0 = random, 1 = reference" if summary.normalized else "score = return"
    return (
        f"{summary.budget:,} steps on the target, {summary.source_steps:,} on the source, "
        f"{count} seed{'s' * (count != '1')}{of_each}, {scale}"
    )


def legend(summary: Summary) -> list[str]:
    """Explain the columns, one line each."""
    lines = [
        "AUC: mean score in training; final: mean over the last 10% of the steps; -: not defined",
        "gain: difference to scratch, paired by seed; with few seeds the intervals are uncertain",
        "p: sign-flip test of the AUC gain over seeds, adjusted for the number of methods (Holm)",
        "needed: seeds that a gain of the observed size takes (80% power, two-sided 5%)",
    ]
    if any(len(row.sources) > 1 for row in summary.rows):
        lines.append("intervals speak of other sources and other seeds, p of other seeds alone")
    if any(row.knowledge for row in summary.methods):
        lines += [
            "knowledge: shown if a method helped and beat every control that starts like it but",
            "knows less of the source task (shuffled weights, random frozen trunk, agent of an",
            "unrelated task, reset heads); nothing is claimed while one of them was not run",
        ]
    if not summary.normalized:
        return lines
    return [
        *lines,
        "ratio: AUC gain by AUC of scratch; forward: AUC gain by the room left to a score of 1",
        "steps: mean, and how many runs got there; >=: the others count with the whole budget",
        "speed-up: ~ where both numbers of steps are bounds, so that their ratio is neither",
        "break-even: targets after which the steps saved repay the source; never: none were saved",
    ]


def _gains(summary: Summary) -> Block:
    rows = [
        (*_gain(row, summary.normalized), str(len(row.seeds)), seeds_needed(row))
        for row in _shown(summary)
    ]
    header = ("recipe", "verdict", "AUC gain [95% interval]", "p", "AUC", "seeds", "needed")
    return Block("Area under the learning curve", header, tuple(rows))


def _gain(row: Row, normalized: bool) -> tuple[str, ...]:
    return (
        row.recipe,
        row.verdict,
        interval(row.gain, normalized=normalized),
        p_value(row.p_holm),
        number(row.auc, normalized=normalized),
    )


def _parts(summary: Summary) -> Block:
    header = ["recipe", "jumpstart [95% interval]", "final", "final gain [95% interval]"]
    header += ["ratio", "forward"] if summary.normalized else []
    title = "Before training and at the end"
    if summary.normalized:
        title += ", transfer ratio and forward transfer"
    return Block(
        title, tuple(header), tuple(_part(row, summary.normalized) for row in _shown(summary))
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


def _controls(summary: Summary) -> Block:
    rows = [
        (*_gain(row, summary.normalized), number(row.asymptote, normalized=summary.normalized))
        for row in (summary.rows[0], *summary.controls)
    ]
    header = ("control", "verdict", "AUC gain [95% interval]", "p", "AUC", "final")
    return Block("Controls, against scratch", header, tuple(rows))


def _knowledge(summary: Summary) -> Block:
    rows = []
    for row in summary.methods:
        if row.knowledge is not None:
            known = row.knowledge
            words = dict.fromkeys(known.beats, "beaten")
            words |= dict.fromkeys(known.not_beaten, "not beaten")
            cells = [words.get(name, "not run") for name in KNOWLEDGE_CONTROLS]
            rows.append((row.recipe, knowledge(known), *cells))
    title = "Was knowledge transferred? Controls that a method has to beat"
    return Block(title, ("recipe", "knowledge", *KNOWLEDGE_CONTROLS), tuple(rows))


def _costs(summary: Summary) -> Block:
    rows = [
        (
            row.recipe,
            number(row.asymptote, normalized=summary.normalized),
            interval(row.cost_gain, normalized=summary.normalized),
        )
        for row in summary.methods
        if row.cost_gain is not None
    ]
    title = "Final score, against scratch that had the steps of the source as well"
    return Block(title, ("recipe", "final", "final gain [95% interval]"), tuple(rows))


def _shown(summary: Summary) -> tuple[Row, ...]:
    """Scratch and the methods; the controls have a table of their own."""
    return summary.rows[0], *summary.methods


def _times(summary: Summary) -> Block:
    main = middle(summary.rows[0].times)
    level = percent(summary.rows[0].times[main].threshold)
    header = ["recipe", *(f"{percent(t.threshold)}" for t in summary.rows[0].times)]
    header += [f"speed-up ({level})", f"break-even ({level})"]
    rows = []
    for row in _shown(summary):
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
