"""Numbers and verdicts in words, the same in tables, plots and pages."""

from __future__ import annotations

import math

from rltransfer.report.summary import MIN_SEEDS, Estimate, Knowledge, Row, Summary


def number(value: float, *, normalized: bool = True, sign: bool = False) -> str:
    """Format a score: three decimals when normalized, one if it is a return, ``-`` if undefined."""
    if math.isnan(value):
        return "-"
    text = f"{value:{'+' if sign else ''},.{3 if normalized else 1}f}"
    return text.lstrip("+-") if not text.strip("+-0.,") else text


def interval(value: Estimate, *, normalized: bool = True) -> str:
    """Format a difference with its interval, such as ``+0.312 [+0.221, +0.402]``."""
    if math.isnan(value.mean):
        return "-"
    mean = number(value.mean, normalized=normalized, sign=True)
    if math.isnan(value.low):
        return f"{mean} [one seed]"
    low, high = (number(end, normalized=normalized, sign=True) for end in value[1:])
    return f"{mean} [{low}, {high}]"


def p_value(p: float) -> str:
    """Format a p-value, never as zero."""
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def percent(fraction: float) -> str:
    """Format a fraction such as a threshold as ``50%``."""
    return f"{100 * fraction:g}%"


def times(factor: float) -> str:
    """Format a speed-up: ``3.2x``, or ``at once`` if transfer was there before training."""
    if math.isnan(factor):
        return "-"
    return (
        "at once" if math.isinf(factor) else f"{factor:.1f}x" if factor < 100 else f"{factor:.0f}x"
    )


def targets(count: float) -> str:
    """Format a break-even number of targets: ``2.4``, or ``never`` if nothing is saved."""
    if math.isnan(count):
        return "-"
    return "never" if math.isinf(count) else f"{count:.1f}" if count < 100 else f"{count:,.0f}"


def seeds_needed(row: Row) -> str:
    """Format the seeds that a gain of the observed size takes: ``9``, ``>1000`` or ``-``."""
    if math.isnan(row.seeds_needed):
        return "-"
    return ">1000" if row.seeds_needed > 1000 else f"{row.seeds_needed:.0f}"


def knowledge(found: Knowledge) -> str:
    """Say in a word whether knowledge was transferred."""
    if found.claimed:
        return "shown"
    return "not tested" if found.untested and not found.not_beaten else "not shown"


def sentence(row: Row, *, normalized: bool = True) -> str:
    """Say what one recipe did, with the numbers that the verdict rests on.

    Args:
        row: A row other than that of scratch.
        normalized: Whether its scores are.

    Returns:
        One sentence without a full stop.
    """
    gain = number(row.gain.mean, normalized=normalized, sign=True)
    n = len(row.seeds)
    several = len(row.sources) > 1
    paired = f"{n} paired seed{'s' * (n > 1)}"
    paired += f" of each of {len(row.sources)} sources" if several else ""
    if row.verdict == "too few seeds":
        return (
            f"{row.recipe}: {gain} AUC against scratch over {paired}, too "
            f"few to tell ({MIN_SEEDS} or more are needed)"
        )
    low, high = (number(end, normalized=normalized, sign=True) for end in row.gain[1:])
    said = (
        f"{row.recipe}: {row.verdict}" if row.verdict[0] == "n" else f"{row.recipe} {row.verdict}"
    )
    return (
        f"{said}, {gain} AUC against scratch (95% interval {low} to {high}, {paired}, "
        f"adjusted p {p_value(row.p_holm).replace('<', '< ')})"
    )


def headline(summary: Summary) -> str:
    """Say in one or two sentences what transfer did on this target.

    Args:
        summary: The numbers.

    Returns:
        Verdicts with the recipes they hold for, the firmest first.
    """
    if not summary.methods:
        return "No method was run: there is nothing to compare with scratch."
    parts = []
    for word in ("helped", "likely helped", "hurt", "likely hurt", "no clear difference"):
        if names := [row.recipe for row in summary.methods if row.verdict == word]:
            parts.append(f"{word} with {listed(names)}")
    text = f"Transfer {'; '.join(parts)}.".replace("Transfer no clear", "No clear") if parts else ""
    few = [row.recipe for row in summary.methods if row.verdict == "too few seeds"]
    if few:
        text += f" Too few seeds to tell for {listed(few)}: at least {MIN_SEEDS} are needed."
    return (text + _knowledge(summary) + _surprise(summary)).strip()


def _knowledge(summary: Summary) -> str:
    """Say which gains are due to what the source agent knew, if that was tested."""
    tested = [row for row in summary.methods if row.knowledge is not None]
    helped = [row for row in tested if row.verdict == "helped"]
    if not tested:
        return ""
    if shown := [row.recipe for row in helped if row.knowledge and row.knowledge.claimed]:
        each = "each" if len(shown) > 1 else "it"
        return f" Knowledge was transferred with {listed(shown)}: {each} beat every control."
    lacking = sorted({name for row in helped if row.knowledge for name in row.knowledge.untested})
    if lacking:
        return f" Whether knowledge was transferred was not tested against {listed(lacking)}."
    return " No method beat every control: that knowledge was transferred is not shown." * bool(
        helped
    )


def _surprise(summary: Summary) -> str:
    """Point out a negative control that helped: the comparison itself is then in doubt."""
    if summary.expect == "hurt" and any(row.verdict == "helped" for row in summary.methods):
        return " It was expected to hurt, so look closer before you rely on this."
    if summary.expect == "hurt":
        return " This is a negative control: transfer was expected to hurt."
    return ""


def listed(names: list[str]) -> str:
    """Join names with commas and an "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
