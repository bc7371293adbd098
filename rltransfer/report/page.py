"""One self-contained HTML page with everything a reader needs to judge a result."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rltransfer.agents.files import atomic_write
from rltransfer.errors import BadArgument
from rltransfer.metrics import METRICS_VERSION
from rltransfer.report import style
from rltransfer.report.compare import summarize
from rltransfer.report.data import Comparison
from rltransfer.report.forest import pairs_figure
from rltransfer.report.learning_curves import curves_figure
from rltransfer.report.summary import Summary
from rltransfer.report.tables import Block, blocks, facts, legend
from rltransfer.report.wording import headline, sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root{color-scheme:light;--ink:#1b1f24;--muted:#57606a;--rule:#d8dee4;--soft:#f6f8fa}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.2rem 1rem 3rem;max-width:60rem;background:#fff;color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 1rem}
h2{font-size:1.2rem;margin:2.6rem 0 .2rem;padding-top:1.2rem;border-top:1px solid var(--rule);
overflow-wrap:anywhere}
h3{font-size:.95rem;margin:1.3rem 0 .3rem}
p{margin:.4rem 0}
.facts,.legend,figcaption,footer{color:var(--muted);font-size:.86rem}
.said{font-size:1.06rem;border-left:4px solid #6e7781;background:var(--soft);padding:.6rem .9rem;
margin:.8rem 0}
.said.up{border-color:#0072b2}.said.down{border-color:#d55e00}
.said p+p{font-size:.92rem}
ul{padding-left:1.2rem;margin:.4rem 0}
figure{margin:1rem 0}
img{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:.35rem .6rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th{font-weight:600;background:var(--soft)}
th:first-child,td:first-child,.word{text-align:left}
th:first-child,td:first-child{position:sticky;left:0;background:#fff}
th:first-child{background:var(--soft)}
.helped{color:#00507d;font-weight:600}.hurt{color:#a34700;font-weight:600}
pre{background:var(--soft);padding:.7rem .9rem;white-space:pre-wrap;overflow-wrap:anywhere;
font-size:.84rem;border-radius:4px}
summary{cursor:pointer;font-weight:600;font-size:.95rem;margin-top:1rem}
@media (max-width:34rem){body{font-size:15px}}
"""


def html(
    comparisons: Sequence[Comparison],
    path: str | os.PathLike[str],
    *,
    title: str,
    command: str,
    versions: Mapping[str, str],
) -> Path:
    """Write one page that needs nothing else: no network, no scripts, images inside.

    It says the verdict first, then shows the learning curves and the tables of each comparison, and
    ends with what is needed to repeat it. The same input gives the same bytes.

    Args:
        comparisons: At least one.
        path: Of the file to write.
        title: Heading of the page.
        command: What was run, to be typed again.
        versions: Package to version.

    Returns:
        The path.

    Raises:
        BadArgument: There is no comparison.
        NotWritable: The file cannot be written.
    """
    if not comparisons:
        raise BadArgument("no comparison to report; run at least one")
    summaries = [summarize(comparison) for comparison in comparisons]
    parts = [f"<h1>{escape(title)}</h1>"]
    if len(comparisons) > 1:
        parts.append(_overview(summaries))
    for i, (comparison, summary) in enumerate(zip(comparisons, summaries, strict=True)):
        parts.append(_section(comparison, summary, anchor=f"c{i}"))
    parts.append(_footer(command, versions))
    atomic_write(Path(path), _document(title, "\n".join(parts)).encode())
    return Path(path)


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _overview(summaries: Sequence[Summary]) -> str:
    items = "".join(
        f'<li><a href="#c{i}">{escape(s.label)}</a>: {escape(headline(s))}</li>'
        for i, s in enumerate(summaries)
    )
    drawn = [s for s in summaries if s.transferred]
    figure = ""
    if drawn and len({s.normalized for s in drawn}) == 1:
        text = "AUC gain over scratch of every recipe on every pair, with 95% intervals"
        figure = _figure(pairs_figure(drawn), alt=text)
    return f"<ul>{items}</ul>\n{figure}"


def _section(comparison: Comparison, summary: Summary, *, anchor: str) -> str:
    at = f"{summary.source} \u2192 {summary.target}"
    parts = [
        f'<h2 id="{anchor}">{escape(summary.label)}</h2>',
        _said(summary),
        f'<p class="facts">{escape(at)}<br>{escape(facts(summary))}</p>',
        _figure(curves_figure(comparison), alt=headline(summary), caption="Deterministic policy."),
        *(_table(block) for block in blocks(summary)),
    ]
    if summary.notes:
        notes = "".join(
            f"<li>{escape(name)}: {escape(note)}</li>" for name, note in summary.notes.items()
        )
        parts.append(f"<h3>Notes</h3><ul>{notes}</ul>")
    parts.append(f'<p class="legend">{"<br>".join(map(escape, legend(summary)))}</p>')
    if comparison.has_stochastic:
        parts.append(_stochastic(comparison))
    return "\n".join(parts)


def _said(summary: Summary) -> str:
    words = {row.verdict for row in summary.transferred}
    tone = " up" if "helped" in words else " down" if "hurt" in words else ""
    said = "".join(
        f"<li>{escape(sentence(row, normalized=summary.normalized))}</li>"
        for row in summary.transferred
    )
    return f'<div class="said{tone}"><p>{escape(headline(summary))}</p></div>\n<ul>{said}</ul>'


def _stochastic(comparison: Comparison) -> str:
    other = comparison.stochastic()
    shown = _figure(
        curves_figure(other), alt="Learning curves of the stochastic policy", caption="Stochastic."
    )
    tables = "".join(_table(block) for block in blocks(summarize(other)))
    return (
        "<details><summary>Scores of the stochastic policy, as in training</summary>"
        f"{shown}{tables}</details>"
    )


def _table(block: Block) -> str:
    head = "".join(f"<th{_class(name, name)}>{escape(name)}</th>" for name in block.header)
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{_class(name, cell)}>{escape(cell)}</td>"
            for name, cell in zip(block.header, row, strict=True)
        )
        + "</tr>"
        for row in block.rows
    )
    return (
        f'<h3>{escape(block.title)}</h3><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _class(column: str, cell: str) -> str:
    if column != "verdict":
        return ""
    return f' class="word {cell}"' if cell in ("helped", "hurt") else ' class="word"'


def _figure(figure: Figure, *, alt: str, caption: str = "") -> str:
    data = base64.b64encode(style.png(figure)).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt)}">'
        f"{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"
    )


def _footer(command: str, versions: Mapping[str, str]) -> str:
    listed = "\n".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"<h2>How to repeat it</h2><pre>{escape(command)}</pre><pre>{escape(listed)}</pre>"
        f"<footer>Metric definitions: version {METRICS_VERSION}.</footer>"
    )
