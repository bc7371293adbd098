"""Markdown and YAML around text that anybody may have written.

Such text appears only where nothing in it is interpreted: in code spans, code blocks and quoted
scalars, each closed by something that the text does not contain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from rltransfer.agents.text import line, printable


def code(text: str) -> str:
    """A code span: one line in which no markup, link or HTML is interpreted."""
    # A pipe would end a cell of a table, and no escape of it holds after a backslash.
    content = line(text).replace("|", "\N{BROKEN BAR}") or "-"
    fence = "`" * (_longest_run(content) + 1)
    # Spaces at both ends are taken away again by the reader of the markup.
    return f"{fence} {content} {fence}" if "`" in content else f"{fence}{content}{fence}"


def block(text: str, language: str = "text") -> str:
    """A code block."""
    content = printable(text).strip("\n")
    fence = "`" * max(3, _longest_run(content) + 1)
    return f"{fence}{language}\n{content}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are numbers, plain words, or what :func:`code` gave."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def scalar(text: str) -> str:
    """A YAML scalar that is text, whatever it looks like."""
    # A string of JSON is one of YAML too; what is printable needs no escape in either.
    return json.dumps(line(text), ensure_ascii=False)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
