"""Self-contained HTML pages with everything a reader needs to judge a result."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from rltransfer.agents.files import atomic_write
from rltransfer.errors import BadArgument
from rltransfer.metrics import METRICS_VERSION
from rltransfer.report import markup
from rltransfer.report.blocks import legend
from rltransfer.report.compare import summarize
from rltransfer.report.data import Comparison
from rltransfer.report.overall import Overall
from rltransfer.report.overall_figures import aggregates, forest, looks, profile
from rltransfer.report.overview import (
    Overview,
    control_sentence,
    overall_block,
    overview,
    pairs_block,
    verdict_sentence,
)
from rltransfer.report.section import section
from rltransfer.report.summary import Summary
from rltransfer.report.wording import headline

_CONTENTS = (
    ("IQM", "mean of the middle half of all runs, so that a few extreme runs do not decide"),
    ("beats scratch", "chance that a run has a larger AUC than one from scratch on its pair"),
    ("losses", "share of the runs with a smaller AUC than their partner from scratch"),
    ("worst tenth", "mean gain of the worst tenth of the runs"),
    ("performance profile", "share of the runs with an AUC above a score, for every score"),
)


def html(
    comparisons: Sequence[Comparison],
    path: str | os.PathLike[str],
    *,
    title: str,
    command: str,
    versions: Mapping[str, str],
    details: Mapping[str, str] | None = None,
    found: Overview | None = None,
) -> Path:
    """Write one page that needs nothing else: no network, no scripts, figures inside.

    It says the verdict first, then shows tables and figures of all comparisons and of each, and
    ends with what is needed to repeat it. The same input gives the same bytes.

    Args:
        comparisons: At least one.
        path: Of the file to write.
        title: Heading of the page.
        command: What was run, to be typed again.
        versions: Package to version.
        details: What else belongs to a repetition, by heading, such as machine, dates and where the
            raw results are.
        found: :func:`overview` of the comparisons; computed if left out, which takes a while.

    Returns:
        The path.

    Raises:
        BadArgument: There is no comparison.
        NotWritable: The file cannot be written.
    """
    found = found or _overview(comparisons)
    parts = [f"<h1>{escape(title)}</h1>"]
    if len(found.summaries) > 1:
        links = {s.label: f"#c{i}" for i, s in enumerate(found.summaries)}
        parts += _overview_parts(found, links)
        parts.append('<h2 id="pairs">Pair by pair</h2>')
        parts += [
            _folded(comparison, summary, anchor=f"c{i}")
            for i, (comparison, summary) in enumerate(_both(found))
        ]
    else:
        parts += [section(comparison, summary) for comparison, summary in _both(found)]
    parts.append(_footer(found.summaries, command, versions, details or {}))
    atomic_write(Path(path), markup.document(title, "\n".join(parts)).encode())
    return Path(path)


def pages(
    comparisons: Sequence[Comparison],
    folder: str | os.PathLike[str],
    *,
    title: str,
    command: str,
    versions: Mapping[str, str],
    details: Mapping[str, str] | None = None,
    found: Overview | None = None,
) -> list[Path]:
    """Write an overview, ``report.html``, and a page for each comparison, ``pairs/<label>.html``.

    Each page stands alone, and they link to each other. For few comparisons, or to pass a result
    on, :func:`html` gives one page with everything.

    Args:
        comparisons: At least one.
        folder: Where the pages go; ``pairs`` is made in it.
        title: Heading of the overview.
        command: As in :func:`html`; the others too.
        versions: Package to version.
        details: Further headings.
        found: As in :func:`html`.

    Returns:
        The paths, that of the overview first.

    Raises:
        BadArgument: There is no comparison.
        NotWritable: A file cannot be written.
    """
    found = found or _overview(comparisons)
    names = _file_names([s.label for s in found.summaries])
    top = Path(folder) / "report.html"
    links = {label: f"pairs/{name}" for label, name in names.items()}
    parts = [f"<h1>{escape(title)}</h1>", *_overview_parts(found, links)]
    parts.append(_footer(found.summaries, command, versions, details or {}))
    atomic_write(top, markup.document(title, "\n".join(parts)).encode())
    written = [top]
    for comparison, summary in _both(found):
        path = top.parent / "pairs" / names[summary.label]
        path.parent.mkdir(exist_ok=True)
        back = f'<p><a href="../report.html">All pairs</a></p>\n<h1>{escape(summary.label)}</h1>'
        end = _footer([summary], command, versions, details or {})
        body = f"{back}\n{section(comparison, summary)}\n{end}"
        atomic_write(path, markup.document(summary.label, body).encode())
        written.append(path)
    return written


def _overview(comparisons: Sequence[Comparison]) -> Overview:
    if not comparisons:
        raise BadArgument("no comparison to report; run at least one")
    return overview(comparisons, [summarize(comparison) for comparison in comparisons])


def _both(found: Overview) -> list[tuple[Comparison, Summary]]:
    return list(zip(found.comparisons, found.summaries, strict=True))


def _overview_parts(found: Overview, links: Mapping[str, str]) -> list[str]:
    control = control_sentence(found)
    more = f"<p>{escape(control)}</p>" if control else ""
    known = {f"{label} (expected to hurt)": link for label, link in links.items()} | dict(links)
    block = pairs_block(found)
    sums = len(block.rows) > len(found.summaries)
    parts = [
        f'<div class="said{_tone(found)}"><p>{escape(verdict_sentence(found))}</p>{more}</div>',
        markup.table(block, links=known, last=sums),
        markup.figures([*_forests(found), *_aggregate_figures(found.help)]),
    ]
    if found.help.recipes:
        parts.append(markup.table(overall_block(found.help), stacked=True))
    if found.hurt.recipes:
        title = "Pairs where transfer was expected to hurt, together"
        parts.append(markup.table(overall_block(found.hurt, title=title), stacked=True))
    return [*parts, markup.bullets(found.help.notes)]


def _tone(found: Overview) -> str:
    words = {row.verdict for s in found.summaries if s.expect != "hurt" for row in s.methods}
    return " up" if "helped" in words else " down" if "hurt" in words else ""


def _forests(found: Overview) -> list[str]:
    """One figure for the normalized scores, and one for the returns of each other pair."""
    drawn = [s for s in found.summaries if s.methods]
    groups = [[s for s in drawn if s.normalized], *([s] for s in drawn if not s.normalized)]
    return [
        markup.figure(
            forest(group, found.recipes, alt=f"AUC gain over scratch on {len(group)} pairs"),
            title="Gain over scratch, pair by pair",
            note="Full marks: helped or hurt. Half-full: likely so. Open: not settled. Bars: 95% "
            "intervals.",
            keys=markup.keys(looks(found.recipes), found.methods),
        )
        for group in groups
        if group
    ]


def _aggregate_figures(found: Overall) -> list[str]:
    if not found.recipes:
        return []
    names = [recipe.recipe for recipe in found.recipes]
    shown = [recipe.recipe for recipe in found.recipes if recipe.kind != "control"]
    pairs = f"over {len(found.pairs)} pair{'s' * (len(found.pairs) > 1)}"
    both = (
        markup.figure(
            aggregates(found, alt=f"IQM of the AUC and chance to beat scratch {pairs}"),
            title=f"All recipes and controls {pairs}",
            note="IQM: mean of the middle half of the runs. Bars: 95% intervals.",
        ),
        markup.figure(
            profile(found, shown, alt=f"Performance profiles {pairs}"),
            title=f"Performance profile {pairs}",
            note="Higher is better. Bands: pointwise 95% intervals.",
            keys=markup.keys(looks(names), shown),
        ),
    )
    return [f"<div>{''.join(both)}</div>"]


def _folded(comparison: Comparison, summary: Summary, *, anchor: str) -> str:
    """A section that opens when it is asked for, or when a link leads into it."""
    return (
        f'<details class="pair"><summary>{escape(summary.label)}<br>'
        f"<span>{escape(headline(summary))}</span></summary>\n"
        f'<h2 id="{anchor}">{escape(summary.label)}</h2>\n{section(comparison, summary)}</details>'
    )


def _footer(
    summaries: Sequence[Summary],
    command: str,
    versions: Mapping[str, str],
    details: Mapping[str, str],
) -> str:
    listed = "\n".join(f"{name} {version}" for name, version in versions.items())
    more = "".join(f"<dt>{escape(n)}</dt><dd>{escape(text)}</dd>" for n, text in details.items())
    lines = [line for summary in summaries for line in legend(summary)]
    if len(summaries) > 1:
        lines += [f"{name}: {text}" for name, text in _CONTENTS]
    said = "".join(f"<p>{escape(line)}</p>" for line in dict.fromkeys(lines))
    return (
        f'<h2 id="reading">How to read it</h2><div class="legend">{said}</div>\n'
        f'<h2 id="repeat">How to repeat it</h2><pre>{escape(command)}</pre>\n'
        f"<dl>{more}</dl><h3>Versions</h3><pre>{escape(listed)}</pre>"
        f"<footer>Metric definitions: version {METRICS_VERSION}.</footer>"
    )


def _file_names(labels: Sequence[str]) -> dict[str, str]:
    """A file name for every label: readable, safe, and different even where case does not count."""
    names: dict[str, str] = {}
    for label in labels:
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip(".-")[:80] or "pair"
        name, taken = f"{base}.html", {other.lower() for other in names.values()}
        number = 2
        while name.lower() in taken:
            name, number = f"{base}-{number}.html", number + 1
        names[label] = name
    return names
