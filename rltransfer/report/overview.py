"""What many comparisons come down to: one sentence, and tables of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rltransfer.report.blocks import Block
from rltransfer.report.data import Comparison
from rltransfer.report.overall import Overall, RecipeOverall, overall
from rltransfer.report.summary import Row, Summary
from rltransfer.report.wording import (
    headline,
    interval,
    knowledge,
    listed,
    number,
    p_value,
    percent,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Overview:
    """Everything that a page, a table or a file of many comparisons is made from.

    Attributes:
        comparisons: The learning curves.
        summaries: Their numbers, in the same order.
        help: Over the pairs where transfer should help, or of which nothing is expected.
        hurt: Over the negative controls.
    """

    comparisons: tuple[Comparison, ...]
    summaries: tuple[Summary, ...]
    help: Overall
    hurt: Overall

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order in which they appear."""
        return list(dict.fromkeys(row.recipe for s in self.summaries for row in s.methods))

    @property
    def recipes(self) -> list[str]:
        """Names of all arms, in the order in which they appear."""
        return list(dict.fromkeys(row.recipe for s in self.summaries for row in s.rows))


def overview(comparisons: Sequence[Comparison], summaries: Sequence[Summary]) -> Overview:
    """Sum up comparisons.

    Args:
        comparisons: One per pair.
        summaries: Their numbers, in the same order.

    Raises:
        BadArgument: There are not as many summaries as comparisons.
    """
    # One pair has nothing to be summed up with, and the intervals take a while.
    many = (comparisons, summaries) if len(comparisons) != 1 else ([], summaries[1:])
    return Overview(
        comparisons=tuple(comparisons),
        summaries=tuple(summaries),
        help=overall(*many, expect="help"),
        hurt=overall(*many, expect="hurt"),
    )


def verdict_sentence(found: Overview) -> str:
    """Say in one sentence what transfer did over all pairs; for one pair, its headline.

    It speaks of ``auto``, or of the method with the largest mean gain if that was not run.
    """
    if len(found.summaries) == 1:
        return headline(found.summaries[0])
    pairs = [s for s in found.summaries if s.expect != "hurt"]
    method = _spokesman(found)
    rows = {s.label: row for s in pairs for row in s.methods if row.recipe == method}
    if method is None or not rows:
        return "No method was run where transfer should help: there is nothing to sum up."
    verdicts = [row.verdict for row in rows.values()]
    helped, hurt = verdicts.count("helped"), verdicts.count("hurt")
    parts = [f"{method} helped on {helped}, hurt on {hurt}"]
    if few := verdicts.count("too few seeds"):
        parts.append(f"had too few seeds to tell on {few}")
    if unclear := len(verdicts) - helped - hurt - few:
        parts.append(f"was not clear on {unclear}")
    said = f"Over {_size(rows)}, {listed(parts)}"
    numbers = next((r for r in found.help.recipes if r.recipe == method), None)
    if numbers is not None:
        chance = percent(round(numbers.improvement.mean, 2))
        said += f": mean AUC gain {interval(numbers.gain)}, better than scratch in {chance} of runs"
    return f"{said}{_tested(list(rows.values()))}."


def control_sentence(found: Overview) -> str:
    """Say what happened where transfer was expected to hurt; empty if there is no such pair."""
    pairs = [s for s in found.summaries if s.expect == "hurt"]
    method = _spokesman(found)
    if not pairs or len(found.summaries) == 1 or method is None:
        return ""
    words = [
        f"{s.label}: {row.verdict}" for s in pairs for row in s.methods if row.recipe == method
    ]
    return f"Where transfer was expected to hurt, {method} came out as follows: {'; '.join(words)}."


def pairs_block(found: Overview) -> Block:
    """Lay out verdict and gain of every method on every pair, and over all pairs."""
    rows = []
    first = _spokesman(found)  # On a phone only one column is seen at once.
    names = sorted(found.methods, key=lambda name: name != first)
    for summary in found.summaries:
        cells = {row.recipe: cell(row, summary.normalized) for row in summary.methods}
        label = summary.label + (" (expected to hurt)" if summary.expect == "hurt" else "")
        rows.append((label, *(cells.get(name, "-") for name in names)))
    by_name = {recipe.recipe: recipe for recipe in found.help.recipes}
    if len(found.help.pairs) > 1:
        means = (interval(by_name[n].gain) if n in by_name else "-" for n in names)
        rows.append((f"mean of {len(found.help.pairs)} pairs", *means))
    title = "AUC gain over scratch with its 95% interval, on every pair"
    return Block(title, ("pair", *names), tuple(rows))


def cell(row: Row, normalized: bool) -> str:
    """Say verdict, gain and, where it was tested, whether knowledge was transferred."""
    known = ""
    if row.knowledge is not None and row.verdict == "helped":
        known = f"; knowledge {knowledge(row.knowledge)}"
    return f"{row.verdict}, {interval(row.gain, normalized=normalized)}{known}"


def overall_block(found: Overall, *, title: str = "All pairs together") -> Block:
    """Lay out the aggregates of every recipe."""
    header = ("recipe", "pairs", "helped / hurt / unclear", "AUC gain [95% interval]", "p",
              "IQM of AUC [95% interval]", "IQM of final [95% interval]",
              "beats scratch [95% interval]", "losses", "worst tenth")  # fmt: skip
    return Block(title, header, tuple(_aggregates(recipe) for recipe in found.recipes))


def _aggregates(recipe: RecipeOverall) -> tuple[str, ...]:
    counts = "/".join(str(len(x)) for x in (recipe.helped, recipe.hurt, recipe.unclear))
    return (
        recipe.recipe,
        str(recipe.pairs),
        "-" if recipe.kind == "baseline" else counts,
        interval(recipe.gain),
        p_value(recipe.p_holm),
        *(interval(value).replace("+", "") for value in (recipe.iqm, recipe.final_iqm)),
        _chance(recipe),
        "-" if math.isnan(recipe.negative) else percent(round(recipe.negative, 2)),
        number(recipe.worst_decile, sign=True),
    )


def _chance(recipe: RecipeOverall) -> str:
    mean, low, high = recipe.improvement
    if math.isnan(mean):
        return "-"
    if math.isnan(low):
        return f"{mean:.0%}"
    return f"{mean:.0%} [{low:.0%}, {high:.0%}]"


def _spokesman(found: Overview) -> str | None:
    if not found.methods or "auto" in found.methods:
        return "auto" if found.methods else None
    means = {recipe.recipe: recipe.gain.mean for recipe in found.help.recipes}
    return max(found.methods, key=lambda name: means.get(name, -math.inf))


def _size(rows: dict[str, Row]) -> str:
    seeds = sorted({len(row.seeds) for row in rows.values()})
    sources = sorted({max(1, len(row.sources)) for row in rows.values()})
    said = f"{len(rows)} pair{'s' * (len(rows) > 1)}, {_range(seeds)} seed{'s' * (seeds != [1])}"
    each = f"{_range(sources)} source checkpoint{'s' * (sources != [1])}"
    return f"{said} and {each} each"


def _range(counts: list[int]) -> str:
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _tested(rows: Sequence[Row]) -> str:
    """Say on how many pairs knowledge was shown, of those where every control was run."""
    tried = [row.knowledge for row in rows if row.knowledge is not None]
    tested = [known for known in tried if not known.untested]
    if not tried:
        return "; no control was run that could show that knowledge was transferred"
    if not tested:
        return "; not every control was run, so nothing is claimed of knowledge"
    shown = sum(known.claimed for known in tested)
    return (
        f"; knowledge was shown to be transferred on {shown} of the {len(tested)} "
        f"pair{'s' * (len(tested) > 1)} tested against all controls"
    )
