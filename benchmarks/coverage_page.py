"""Results of ``benchmarks/coverage.py`` as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
        _FINDINGS,
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


_FINDINGS = ""
