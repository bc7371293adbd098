"""Summaries as tables, for a terminal or for Markdown."""

from __future__ import annotations

import textwrap
from typing import Literal

from rltransfer.errors import BadArgument
from rltransfer.report.blocks import Block, blocks, facts, legend
from rltransfer.report.summary import Summary
from rltransfer.report.wording import headline

WIDTH = 100
WORDS = ("verdict", "knowledge", *("permuted", "random-frozen", "unrelated", "reset-heads"))
"""Columns of words, besides the first."""


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
        parts += [f"{escape(block.title)}\n\n{markdown(block)}" for block in blocks(summary)]
        parts += ["\n".join(f"- {escape(note)}" for note in notes)] if notes else []
        return "\n\n".join([*parts, "<br>\n".join(map(escape, legend(summary)))])
    lines = [title, facts(summary), headline(summary)]
    parts = ["\n".join(_wrap(line) for line in lines)]
    parts += [f"{block.title}\n{_text(block)}" for block in blocks(summary)]
    parts += ["\n".join(map(_wrap, notes))] if notes else []
    return "\n\n".join([*parts, "\n".join(legend(summary))])


def _text(block: Block) -> str:
    lines = [block.header, *block.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = {0} | {i for i, name in enumerate(block.header) if name in WORDS}
    aligned = []
    for cells in (block.header, tuple("-" * width for width in widths), *block.rows):
        padded = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        aligned.append("  ".join(padded).rstrip())
    return "\n".join(aligned)


def markdown(block: Block) -> str:
    """Write a block as a table for GitHub."""
    rule = ["---", *("---" if name in WORDS else "---:" for name in block.header[1:])]
    rows = [[escape(cell) for cell in cells] for cells in (block.header, *block.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [rows[0], rule, *rows[1:]])


def escape(text: str) -> str:
    """Keep Markdown from reading a cell as more than text."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
