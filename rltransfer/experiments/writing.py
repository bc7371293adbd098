"""The files that tell of comparisons: report, tables, plots and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rltransfer import report
from rltransfer.agents.files import atomic_write, csv_of
from rltransfer.experiments import folders
from rltransfer.experiments.gain import Gain
from rltransfer.pretrain import versions

ON_ONE_PAGE = 4
"""Comparisons that one page holds; more get a page each beside the overview."""


def write(gains: Sequence[Gain], out: Path, *, command: str = "") -> None:
    """Write the report and the learning curves into a folder.

    Raises:
        NotWritable: The folder cannot be written.
    """
    write_report(gains, out, command=command)
    atomic_write(out / "curves.csv", curves(gains))


def write_report(
    gains: Sequence[Gain],
    out: Path,
    *,
    command: str = "",
    title: str = "What transfer gained",
    details: Mapping[str, str] | None = None,
) -> None:
    """Write plots, tables and the HTML report into a folder.

    Args:
        gains: At least one.
        out: The folder.
        command: Command line that repeats it.
        title: Heading of the report.
        details: What else belongs to a repetition, by heading.

    Raises:
        NotWritable: The folder cannot be written.
    """
    folders.create(out)
    comparisons, summaries = [g.comparison for g in gains], [g.summary for g in gains]
    found = report.overview(comparisons, summaries)
    for one in gains:
        one.plot(out / f"{one.summary.label}.png")
    if len(gains) > 1:
        report.plot_pairs(summaries, out / "gains.png")
        overall = report.overall(comparisons, summaries, expect=None)
        atomic_write(out / "overall.csv", report.overall_csv(overall))
    atomic_write(out / "gains.md", report.gains_markdown(found).encode())
    atomic_write(out / "rows.csv", report.rows_csv(summaries))
    facts = {"title": title, "command": command, "versions": versions(), "details": details}
    if len(gains) > ON_ONE_PAGE:
        report.pages(comparisons, out, found=found, **facts)
    else:
        report.html(comparisons, out / "report.html", found=found, **facts)


def curves(gains: Sequence[Gain]) -> bytes:
    """Learning curves as CSV: one line for each evaluation, means over its episodes."""
    names = ("case", "target", "recipe", "source", "seed", "steps", "return", "stochastic")
    rows: list[Sequence[object]] = [(*names, "choice")]
    for one in gains:
        for run in one.runs:
            for i, steps in enumerate(run.steps):
                spec = run.spec
                means = (run.returns[i].mean(), run.stochastic[i].mean())
                row = [one.summary.label, spec.target, spec.label, spec.source, spec.seed]
                row += [int(steps), *(f"{m:.4f}" for m in means), run.choice if i == 0 else ""]
                rows.append(row)
    return csv_of(rows)
