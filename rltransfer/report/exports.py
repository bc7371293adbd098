"""Results as files for people who read Markdown and for programs that read CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from rltransfer.report.blocks import Block
from rltransfer.report.overall import Overall
from rltransfer.report.overview import (
    Overview,
    control_sentence,
    overall_block,
    pairs_block,
    verdict_sentence,
)
from rltransfer.report.summary import Estimate, Row, Summary, ThresholdTime
from rltransfer.report.tables import escape, markdown, table


def gains_markdown(found: Overview) -> str:
    """Write what transfer did as Markdown: the verdict, tables over all pairs, tables of each.

    Args:
        found: What they come down to.

    Returns:
        Text that ends with a newline.
    """
    parts = []
    if len(found.summaries) > 1:
        parts += [f"**{escape(verdict_sentence(found))}**", escape(control_sentence(found))]
        parts.append(_titled(pairs_block(found)))
        title = "Pairs where transfer was expected to hurt, together"
        blocks = [overall_block(found.help), overall_block(found.hurt, title=title)]
        parts += [_titled(block) for block in blocks if block.rows]
        parts += [f"- {escape(f'{n}: {note}')}" for n, note in found.help.notes.items()]
    parts += [table(summary, fmt="markdown") for summary in found.summaries]
    return "\n\n".join(part for part in parts if part) + "\n"


def rows_csv(summaries: Sequence[Summary]) -> bytes:
    """Write every number of every row as CSV: one line for each pair and recipe.

    Intervals have columns such as ``gain``, ``gain_low`` and ``gain_high``, thresholds such as
    ``steps_50%``. What is not defined is empty; what is unbounded is ``inf``.
    """
    return _csv([_row(summary, row) for summary in summaries for row in summary.rows])


def overall_csv(found: Overall) -> bytes:
    """Write the numbers over all pairs as CSV: one line for each recipe."""
    lines: list[dict[str, object]] = []
    for recipe in found.recipes:
        line: dict[str, object] = {"recipe": recipe.recipe, "kind": recipe.kind}
        line |= {"pairs": recipe.pairs, "runs": recipe.runs}
        for name in ("gain", "iqm", "final_iqm", "improvement"):
            line |= _estimate(name, getattr(recipe, name))
        for name in ("negative", "worst_decile", "p", "p_holm"):
            line[name] = getattr(recipe, name)
        for name in ("helped", "hurt", "unclear"):
            line[name] = " ".join(getattr(recipe, name))
        lines.append(line)
    return _csv(lines)


def _titled(block: Block) -> str:
    return f"### {escape(block.title)}\n\n{markdown(block)}"


def _row(summary: Summary, row: Row) -> dict[str, object]:
    line: dict[str, object] = {
        "pair": summary.label,
        "source": summary.source,
        "target": summary.target,
        "budget": summary.budget,
        "source_steps": summary.source_steps,
        "normalized": summary.normalized,
        "expect": summary.expect or "",
        "recipe": row.recipe,
        "kind": row.kind,
        "verdict": row.verdict,
        "sources": " ".join(row.sources),
        "seeds": " ".join(map(str, row.seeds)),
        "runs": row.runs,
        "auc": row.auc,
    }
    line |= _estimate("gain", row.gain)
    line |= {name: getattr(row, name) for name in ("p", "p_holm", "correlation", "negative")}
    line |= _estimate("jumpstart", row.jumpstart)
    line |= {"final_step": row.steps, "final": row.asymptote}
    line |= _estimate("final_gain", row.asymptote_gain) | _estimate("cost_gain", row.cost_gain)
    line |= {name: getattr(row, name) for name in ("transfer_ratio", "forward_transfer")}
    line["seeds_needed"] = row.seeds_needed
    for time in row.times:
        line |= _time(time)
    return line | _knowledge(row)


def _knowledge(row: Row) -> dict[str, object]:
    known = row.knowledge
    if known is None:
        return dict.fromkeys(("knowledge", "beats", "not_beaten", "untested"), "")
    return {
        "knowledge": known.claimed,
        "beats": " ".join(known.beats),
        "not_beaten": " ".join(known.not_beaten),
        "untested": " ".join(known.untested),
    }


def _time(time: ThresholdTime) -> dict[str, object]:
    level = f"{100 * time.threshold:g}%"
    names = ("steps", "median", "reached", "scratch_reached", "speed_up", "saved", "break_even")
    return {f"{name}_{level}": getattr(time, name) for name in names}


def _estimate(name: str, value: Estimate | None) -> dict[str, object]:
    ends = value if value is not None else ("", "", "")
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def _csv(lines: Sequence[Mapping[str, object]]) -> bytes:
    text = io.StringIO()
    columns = list(dict.fromkeys(name for line in lines for name in line))
    written = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    written.writeheader()
    for line in lines:
        written.writerow({name: _said(value) for name, value in line.items()})
    return text.getvalue().encode()


def _said(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{float(value):.6g}"  # nan is not equal to itself
    return value
