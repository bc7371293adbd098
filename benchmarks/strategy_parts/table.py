"""The strategy table, as markdown and as rows for other programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rltransfer import report
from rltransfer.metrics import crossed_mean
from strategy_parts.running import Result

MARKS = {
    "helped": "**",
    "likely helped": "*",
    "hurt": "**",
    "likely hurt": "*",
}
SUMS = ("mean gain", "over pairs", "helped/hurt", "beats scratch", "worst tenth of runs")
FIELDS = (
    *("pair", "kind", "strategy", "seeds", "auc", "gain", "low", "high", "p", "p_holm"),
    *("verdict", "knowledge", "jumpstart", "asymptote", "why_not"),
)


def markdown(results: Sequence[Result], strategies: Sequence[str]) -> str:
    """Write one row for each strategy, one column for each pair.

    Args:
        results: Of the pairs.
        strategies: Their names, in the order of the rows; controls come after them.
    """
    names = [result.setup.pair.name for result in results]
    kinds = [result.setup.kind for result in results]
    head = ["strategy", *(f"{name}<br>({kind})" for name, kind in zip(names, kinds, strict=True))]
    lines = [_line([*head, *SUMS])]
    lines.append(_line(["---", *["---:"] * (len(names) + len(SUMS))]))
    # All pairs together, also those where transfer was expected to hurt.
    together = [replace(result.comparison, expect=None) for result in results]
    overall = {one.recipe: one for one in report.overall(together).recipes}
    for strategy in ranked(results, strategies):
        cells = [_cell(result, strategy) for result in results]
        lines.append(_line([strategy, *cells, *_overall(results, overall.get(strategy))]))
    return "\n".join(lines)


def ranked(results: Sequence[Result], strategies: Sequence[str]) -> list[str]:
    """Strategies by their mean gain; those that do not apply to every pair last."""

    def key(name: str) -> tuple[bool, float]:
        found = gains(results, name)
        missing = len(found) < len(results)
        return missing, -float(np.mean(list(found.values()))) if found else math.inf

    return sorted(strategies, key=key)


def gains(results: Sequence[Result], strategy: str) -> dict[str, float]:
    """Mean gain in AUC of a strategy by pair, where it was run."""
    found = {}
    for result in results:
        row = _row(result, strategy)
        if row is not None:
            found[result.setup.pair.name] = row.gain.mean
    return found


def rows(results: Sequence[Result], strategies: Sequence[str]) -> str:
    """Write everything as CSV, one line for each strategy on each pair."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for result in results:
        for name in ("scratch", *strategies):
            writer.writerow(_data(result, name))
    return text.getvalue()


def _data(result: Result, name: str) -> Mapping[str, object]:
    base = {"pair": result.setup.pair.name, "kind": result.setup.kind, "strategy": name}
    row = _row(result, name)
    if row is None:
        return {**base, "why_not": result.refused.get(name, "not run")}
    known = row.knowledge
    return {
        **base,
        "seeds": len(row.seeds),
        "auc": _number(row.auc),
        "gain": _number(row.gain.mean),
        "low": _number(row.gain.low),
        "high": _number(row.gain.high),
        "p": _number(row.p),
        "p_holm": _number(row.p_holm),
        "verdict": row.verdict,
        "knowledge": "" if known is None else ("shown" if known.claimed else "not shown"),
        "jumpstart": _number(row.jumpstart.mean),
        "asymptote": _number(row.asymptote),
    }


def _row(result: Result, name: str) -> report.Row | None:
    return next((row for row in result.summary.rows if row.recipe == name), None)


def _cell(result: Result, name: str) -> str:
    row = _row(result, name)
    if row is None:
        return "-"
    mark = MARKS.get(row.verdict, "")
    return f"{mark}{row.gain.mean:+.2f}{mark} [{row.gain.low:+.2f}, {row.gain.high:+.2f}]"


def _overall(results: Sequence[Result], found: report.RecipeOverall | None) -> list[str]:
    if found is None:
        return ["-"] * len(SUMS)
    rows = [_row(result, found.recipe) for result in results]
    words = [row.verdict.split()[-1] for row in rows if row is not None]
    counts = f"{words.count('helped')}/{words.count('hurt')} of {len(words)}"
    gain = found.gain
    mean = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    over_pairs = _over_pairs(list(gains(results, found.recipe).values()))
    return [mean, over_pairs, counts, f"{found.improvement.mean:.0%}", f"{found.worst_decile:+.2f}"]


def _over_pairs(by_pair: Sequence[float]) -> str:
    """Student's t interval of the mean over pairs, which knows of no other pairs below two."""
    if len(by_pair) < 2:
        return "-"
    low, high = crossed_mean(np.array(by_pair)).interval()
    return f"[{low:+.2f}, {high:+.2f}]"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
