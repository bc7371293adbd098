"""The part of a page that tells of one comparison."""

from __future__ import annotations

import math
from dataclasses import replace
from html import escape

from rltransfer.report import markup
from rltransfer.report.blocks import Block, blocks, facts
from rltransfer.report.compare import summarize
from rltransfer.report.data import SCRATCH, Comparison
from rltransfer.report.overall_figures import looks
from rltransfer.report.pair_figures import by_source, curves, draws_runs, source_gains
from rltransfer.report.summary import Row, Summary
from rltransfer.report.wording import headline, listed, number, seeds_needed, sentence


def section(comparison: Comparison, summary: Summary) -> str:
    """Tell of one comparison: verdict, curves, gains by source, tables and notes."""
    at = f"{summary.source} \u2192 {summary.target}"
    parts = [
        said(summary),
        f'<p class="facts">{escape(at)}<br>{escape(facts(summary))}{_scale(comparison)}</p>',
        markup.figures(_figures(comparison, summary)),
        *(markup.table(block) for block in blocks(summary)),
    ]
    if len(comparison.sources) > 1:
        parts.append(markup.table(_sources(comparison, summary)))
    if power := _power(summary):
        parts.append(f"<p>{escape(power)}</p>")
    if summary.notes:
        parts.append(f"<h3>Notes</h3>{markup.bullets(summary.notes)}")
    if comparison.has_stochastic:
        parts.append(_stochastic(comparison))
    return "\n".join(parts)


def said(summary: Summary) -> str:
    """Say the verdict, and what each method did."""
    words = {row.verdict for row in summary.methods}
    tone = " up" if "helped" in words else " down" if "hurt" in words else ""
    items = "".join(
        f"<li>{escape(sentence(row, normalized=summary.normalized))}</li>"
        for row in summary.methods
    )
    lines = f"<ul>{items}</ul>" if items else ""
    return f'<div class="said{tone}"><p>{escape(headline(summary))}</p></div>\n{lines}'


def _figures(c: Comparison, summary: Summary) -> list[str]:
    shown = [SCRATCH, *(row.recipe for row in summary.methods)]
    drawn = [_curves(c, shown, "Learning curves", headline(summary))]
    if c.controls:
        best = "auto" if "auto" in shown else shown[-1]
        names = list(dict.fromkeys([SCRATCH, *c.controls, best]))
        title = f"Controls{'' if best == SCRATCH else f', with {best} to compare'}"
        drawn.append(_curves(c, names, title, "Learning curves of the controls"))
    if len(c.sources) > 1 and summary.methods:
        alt = "AUC gain of every method, by source checkpoint"
        names = [row.recipe for row in summary.methods]
        drawn.append(
            markup.figure(
                by_source(c, summary, alt=alt),
                title=f"AUC gain by source checkpoint ({len(c.sources)})",
                note="Rings: one source checkpoint, mean over seeds. "
                "Marks: mean over all, with its 95% interval.",
                keys=markup.keys(looks(list(c.arms)), names),
            )
        )
    return drawn


def _curves(c: Comparison, names: list[str], title: str, alt: str) -> str:
    single = max(len(c.arms[name].runs) for name in names) == 1
    note = "One run each: no interval." if single else "Lines: means, with 95% intervals."
    if not single and draws_runs(c, names):
        note = "Thick: means, with 95% intervals. Thin: single runs."
    key = markup.keys(looks(list(c.arms)), names)
    return markup.figure(curves(c, names, alt=alt), title=title, note=note, keys=key)


def _sources(c: Comparison, summary: Summary) -> Block:
    rows = []
    for row in summary.methods:
        gains = source_gains(c, row.recipe)
        cells = (gains.get(name, math.nan) for name in c.sources)
        rows.append(
            (row.recipe, *(number(x, normalized=c.normalized, sign=True) for x in cells))
        )  # fmt: skip
    return Block(
        "AUC gain by source checkpoint, mean over seeds", ("recipe", *c.sources), tuple(rows)
    )


def _scale(c: Comparison) -> str:
    if not c.normalized or c.random is None or c.reference is None:
        return ""
    return f"; return {c.random:g} = random, {c.reference:g} = reference"


def _power(summary: Summary) -> str:
    """Say how many seeds the unsettled methods would take."""
    open_ = [row for row in summary.methods if row.verdict not in ("helped", "hurt")]
    said = [f"{row.recipe} {_needed(row)}" for row in open_ if not math.isnan(row.seeds_needed)]
    if not said:
        return ""
    return (
        "Power: with as many paired seeds a gain of the observed size would be found in 4 of 5 "
        f"experiments: {listed(said)}."
    )


def _needed(row: Row) -> str:
    return f"{seeds_needed(row)} (it had {len(row.seeds)})"


def _stochastic(comparison: Comparison) -> str:
    arms = {name: arm for name, arm in comparison.arms.items() if arm.kind != "control"}
    other = replace(comparison, arms=arms).stochastic()
    summary = summarize(other)
    names = [SCRATCH, *(row.recipe for row in summary.methods)]
    drawn = _curves(other, names, "Learning curves", "Learning curves of the stochastic policy")
    return (
        "<details><summary>Scores of the stochastic policy, as in training</summary>\n"
        f"{markup.figures([drawn])}\n{markup.table(blocks(summary)[0])}</details>"
    )
