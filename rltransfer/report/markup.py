"""Pieces of HTML: tables, figures with their keys, and the frame of a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

from rltransfer.report import svg
from rltransfer.report.blocks import Block
from rltransfer.report.page_style import STYLE
from rltransfer.report.tables import WORDS


def document(title: str, body: str) -> str:
    """Put a page together that may load nothing and run nothing."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def table(
    block: Block,
    *,
    links: Mapping[str, str] | None = None,
    last: bool = False,
    stacked: bool = False,
) -> str:
    """Write a block as a table that scrolls in a box of its own.

    Args:
        block: The cells. One such as ``helped, +0.3 [+0.2, +0.4]; knowledge shown`` is broken into
            lines.
        links: First cell to the address that it leads to.
        last: Whether the last row sums up the others.
        stacked: Whether intervals go under their numbers, to make a wide table narrower.
    """
    head = "".join(f'<th scope="col"{_class(n, n)}>{escape(n)}</th>' for n in block.header)
    rows = []
    for i, row in enumerate(block.rows):
        tone = ' class="last"' if last and i == len(block.rows) - 1 else ""
        cells = [_first(row[0], links or {})]
        cells += [_cell(name, cell) for name, cell in zip(block.header[1:], row[1:], strict=True)]
        rows.append(f"<tr{tone}>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    if stacked:
        head, body = head.replace(" [", "<br>["), body.replace(" [", "<br>[")
    return (
        f'<h3>{escape(block.title)}</h3>\n<div class="scroll" tabindex="0"><table><thead>'
        f"<tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def figure(drawn: str, *, title: str, note: str = "", keys: str = "") -> str:
    """Frame an SVG figure with a title over it, and keys and a note under it."""
    said = f"{keys}{f'<p>{escape(note)}</p>' if note else ''}"
    return (
        f"<figure><b>{escape(title)}</b>{drawn}"
        f"{f'<figcaption>{said}</figcaption>' if said else ''}</figure>"
    )


def figures(drawn: Sequence[str]) -> str:
    """Lay figures out abreast where there is room."""
    return '<div class="figures">\n' + "\n".join(drawn) + "\n</div>"


def keys(looks: Mapping[str, tuple[str, str]], names: Collection[str]) -> str:
    """List what the colors and markers of a figure stand for."""
    items = []
    for name in names:
        color, shape = looks[name]
        drawn = svg.line([(1, 7), (25, 7)], color, width=2, dash="" if shape else "5 3")
        drawn += svg.mark(13, 7, shape, color, size=4) if shape else ""
        icon = f'<svg viewBox="0 0 26 14" aria-hidden="true">{drawn}</svg>'
        items.append(f"<li>{icon}{escape(name)}</li>")
    return f'<ul class="keys">{"".join(items)}</ul>'


def bullets(lines: Mapping[str, str]) -> str:
    """List notes under their headings."""
    items = "".join(f"<li>{escape(name)}: {escape(note)}</li>" for name, note in lines.items())
    return f"<ul>{items}</ul>" if items else ""


def _first(cell: str, links: Mapping[str, str]) -> str:
    words = escape(cell)
    return f'<td><a href="{escape(links[cell])}">{words}</a></td>' if cell in links else (
        f"<td>{words}</td>"
    )  # fmt: skip


def _cell(column: str, cell: str) -> str:
    verdict, _, rest = cell.partition(", ")
    if rest and verdict[0].isalpha():
        gain, _, known = rest.partition("; ")
        more = f"<i>{escape(known)}</i>" if known else ""
        tone = f' class="{verdict}"' if verdict in ("helped", "hurt") else ""
        return f"<td{tone}><b>{escape(verdict)}</b>{escape(gain)}{more}</td>"
    return f"<td{_class(column, cell)}>{escape(cell)}</td>"


def _class(column: str, cell: str) -> str:
    if column not in WORDS:
        return ""
    return f' class="word {cell}"' if cell in ("helped", "hurt") else ' class="word"'
