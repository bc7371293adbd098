"""Results of ``benchmarks/interval_coverage.py`` as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_REASONS = """Why these. The percentile bootstrap is too narrow for few runs, and the hierarchical
one far too narrow for few sources. The t interval covers the mean gain of one source at any number
of seeds, where expanded percentiles cannot leave the range of five differences. Over several
sources, one t quantile with Satterthwaite's degrees of freedom falls short where two or three
sources differ much; giving each part of the variance its own quantile does not, and is too wide
where they do not differ. A strong skew is covered less by all of them: a few runs do not show the
tail that moves the mean."""
PUBLISHED = Path(__file__).parent / "results" / "coverage"


@dataclass(frozen=True, kw_only=True)
class Case:
    """How one kind of interval did in one kind of experiment.

    Attributes:
        what: What is estimated.
        how: The interval.
        shape: Distribution of the scores.
        seeds: Target seeds.
        sources: Source checkpoints.
        between: Spread between sources by that of runs.
        pairs: Pairs.
        coverage: Share of the intervals that held the truth.
        width: Median width.
        repetitions: Experiments.
    """

    what: str
    how: str
    shape: str
    seeds: int
    sources: int = 1
    between: float = 0.0
    pairs: int = 1
    coverage: float
    width: float
    repetitions: int

    def row(self) -> dict[str, Any]:
        """For a CSV file."""
        return {**asdict(self), "coverage": f"{self.coverage:.4f}", "width": f"{self.width:.4f}"}


def page(cases: Sequence[Case], command: str) -> str:
    """Write the tables, with what they show.

    Args:
        cases: The results.
        command: What was run.
    """
    shapes = list(dict.fromkeys(case.shape for case in cases))
    one = [case for case in cases if case.sources == 1 and case.pairs == 1]
    several = [case for case in cases if case.sources > 1 and case.pairs == 1]
    pairs = [case for case in cases if case.pairs > 1]
    parts = [
        "# Coverage of nominal 95 % intervals",
        f"`{command}`, {cases[0].repetitions} experiments a case "
        f"({pairs[0].repetitions} with five pairs); median width in brackets. "
        "`benchmarks/coverage_cases.py` says what the scores are.",
        _findings(cases),
        _REASONS,
        "## One source, one pair",
        _table(one, ("what", "how", "seeds"), shapes),
        "## Several sources with 10 seeds each, one pair",
        "`between`: standard deviation between sources by that of runs from one source.",
        _table(several, ("what", "how", "sources", "between"), shapes),
        "## Five pairs",
        _table(pairs, ("what", "how", "seeds", "sources", "between"), shapes),
    ]
    return "\n\n".join(parts) + "\n"


def _table(cases: Sequence[Case], keys: Sequence[str], shapes: Sequence[str]) -> str:
    rows: dict[tuple, dict[str, Case]] = {}
    for case in sorted(cases, key=lambda case: (case.what, case.how)):
        rows.setdefault(tuple(getattr(case, key) for key in keys), {})[case.shape] = case
    lines = [f"| {' | '.join([*keys, *shapes])} |", f"|{'---|' * (len(keys) + len(shapes))}"]
    for where, found in rows.items():
        cells = [f"{found[s].coverage:.3f} ({found[s].width:.2f})" for s in shapes]
        lines.append(f"| {' | '.join([*map(str, where), *cells])} |")
    return "\n".join(lines)


def _findings(cases: Sequence[Case]) -> str:
    used = [case for case in cases if "(in use)" in case.how]
    good = [c for c in used if c.shape in ("normal", "bounded") and c.seeds >= 10]
    lines = ["Of the intervals in use, over normal and bounded scores with 10 seeds or more:", ""]
    for what in dict.fromkeys(case.what for case in good):
        for several in (False, True):
            found = [c.coverage for c in good if c.what == what and (c.sources > 1) == several]
            source = "several sources" if several else "one source"
            lines.append(f"- {what}, {source}: {min(found):.3f} to {max(found):.3f}")
    lines += ["", "Cases of the intervals in use that cover less than 0.93:", ""]
    short = sorted((c for c in used if c.coverage < 0.93), key=lambda c: c.coverage)
    lines += [
        f"- {c.coverage:.3f}: {c.what}, {c.shape}, {c.seeds} seeds, {c.sources} source(s), "
        f"between {c.between:g}, {c.pairs} pair(s)"
        for c in short
    ]
    return "\n".join(lines if short else [*lines, "- none"])
