"""Tables that fit the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

GAP = "  "
# A last column that has less room than this goes below the others instead.
NARROW = 30
INDENT = " " * 4


def terminal_width() -> int | None:
    """Columns of the terminal that standard output goes to; None if it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, width: int | None = None
) -> str:
    """Lay a table out.

    Args:
        header: Names of the columns.
        rows: Cells; the longest texts in the last column.
        width: Columns to stay within: the last column is wrapped, or as many of the last ones as
            must be are put below the others. None keeps every row on one line, for other programs.
    """
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    if width is None or sum(widths) + len(GAP) * (len(widths) - 1) <= width:
        return "\n".join(_line(line, widths) for line in lines)
    room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
    if room >= NARROW:
        return "\n".join(_wrapped(line, widths, room) for line in lines)
    kept = _kept(widths, width)
    return "\n".join(_folded(line, widths[:kept], width) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return GAP.join(padded).rstrip()


def _wrapped(cells: Sequence[str], widths: Sequence[int], room: int) -> str:
    first, *more = textwrap.wrap(cells[-1], room) or [""]
    below = ["" for _ in cells[:-1]]
    texts = [[*cells[:-1], first], *([*below, text] for text in more)]
    return "\n".join(_line(text, widths) for text in texts)


def _kept(widths: Sequence[int], width: int) -> int:
    """Number of columns that stay side by side, at least 1."""
    used = 0
    for i, one in enumerate(widths[:-1]):
        used += one + (len(GAP) if i else 0)
        if used > width:
            return max(i, 1)
    return len(widths) - 1


def _folded(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    below = ": ".join(cell for cell in cells[len(widths) :] if cell)
    lines = textwrap.wrap(below, width, initial_indent=INDENT, subsequent_indent=INDENT)
    return "\n".join([_line(cells[: len(widths)], widths), *lines])
