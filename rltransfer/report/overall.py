"""What recipes did over many pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rltransfer import metrics
from rltransfer.errors import BadArgument
from rltransfer.report.compare import final_scores, summarize
from rltransfer.report.data import SCRATCH, Comparison, Kind
from rltransfer.report.pairing import area_tables, pair
from rltransfer.report.summary import Estimate, Row, Summary

POINTS = 61
"""Thresholds of a performance profile."""
_UNKNOWN = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeOverall:
    """One recipe over all the pairs it was run on, against scratch on the same pairs.

    For scratch itself the comparisons are ``nan`` and empty. The pairs are taken as given: the
    intervals speak of other runs on these pairs, the p-value of other pairs like these.

    Attributes:
        recipe: Its name.
        kind: What it is for.
        pairs: Number of pairs.
        runs: Number of paired runs on all of them.
        gain: Mean over pairs of the mean paired gain in AUC.
        iqm: Interquartile mean of the AUC over all runs.
        final_iqm: Interquartile mean of the final score over all runs.
        improvement: Chance that a run beats one from scratch in AUC, averaged over pairs.
        negative: Share of all runs with a loss in AUC against their partner.
        worst_decile: Mean gain of the worst tenth of all runs, at least one.
        p: Sign-flip p-value over pairs of the mean paired gains.
        p_holm: The same, adjusted for the number of methods (or, for a control, of controls).
        helped: Labels of the pairs where it helped.
        hurt: Where it hurt.
        unclear: The other pairs.
        profile: Share of the runs with an AUC above each threshold, shape ``(m,)``.
        profile_low: Lower ends of the pointwise 95 % intervals, shape ``(m,)``.
        profile_high: Upper ends.
    """

    recipe: str
    kind: Kind
    pairs: int
    runs: int
    gain: Estimate
    iqm: Estimate
    final_iqm: Estimate
    improvement: Estimate
    negative: float
    worst_decile: float
    p: float
    p_holm: float
    helped: tuple[str, ...]
    hurt: tuple[str, ...]
    unclear: tuple[str, ...]
    profile: np.ndarray
    profile_low: np.ndarray
    profile_high: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Overall:
    """Recipes over many pairs.

    Attributes:
        recipes: One per recipe, scratch first; empty when there is no pair.
        thresholds: Normalized scores at which the profiles are read, ascending, shape ``(m,)``.
        pairs: Labels of the pairs.
        notes: Heading to one line each, including what was left out and why.
    """

    recipes: tuple[RecipeOverall, ...]
    thresholds: np.ndarray
    pairs: tuple[str, ...]
    notes: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class _Case:
    """One recipe on one pair: its row, and one number per run in tables (sources, seeds)."""

    label: str
    row: Row
    area: np.ndarray
    scratch: np.ndarray
    final: np.ndarray


def overall(
    comparisons: Sequence[Comparison],
    summaries: Sequence[Summary] | None = None,
    *,
    expect: Literal["help", "hurt"] | None = "help",
) -> Overall:
    """Sum up what each recipe did over many pairs.

    Args:
        comparisons: One per pair. Those whose scores are not normalized cannot be averaged with
            others and are left out, which the notes then say.
        summaries: Of the comparisons, in the same order; computed if left out.
        expect: ``"hurt"`` takes the negative controls alone, ``"help"`` the other pairs, None all.

    Returns:
        The numbers. They are the same for the same input.

    Raises:
        BadArgument: There are not as many summaries as comparisons, or ``expect`` is unknown.
    """
    if expect not in ("help", "hurt", None):
        raise BadArgument(f"expect is {expect!r}; expected 'help', 'hurt' or None")
    if summaries is None:
        summaries = [summarize(comparison) for comparison in comparisons]
    if len(summaries) != len(comparisons):
        raise BadArgument(
            f"{len(summaries)} summaries of {len(comparisons)} comparisons; pass one each"
        )
    asked = [
        (comparison, summary)
        for comparison, summary in zip(comparisons, summaries, strict=True)
        if expect is None or (comparison.expect == "hurt") == (expect == "hurt")
    ]
    used = [(comparison, summary) for comparison, summary in asked if comparison.normalized]
    cases: dict[str, list[_Case]] = {}
    for comparison, summary in used:
        for row in summary.rows:
            cases.setdefault(row.recipe, []).append(_case(comparison, row))
    thresholds = _thresholds(cases)
    return Overall(
        recipes=_judged([_recipe(found, thresholds) for found in cases.values()]),
        thresholds=thresholds,
        pairs=tuple(comparison.label for comparison, _ in used),
        notes=_notes(asked, cases),
    )


def _case(c: Comparison, row: Row) -> _Case:
    arm = c.arms[row.recipe]
    paired = pair(arm, c.arms[SCRATCH])
    area, partners = area_tables(c, paired)
    return _Case(
        label=c.label,
        row=row,
        area=area,
        scratch=np.nanmax(partners, axis=0),  # the same for every source
        final=paired.table(final_scores(c, arm, paired.runs)),
    )


def _recipe(cases: Sequence[_Case], thresholds: np.ndarray) -> RecipeOverall:
    baseline = cases[0].row.kind == "baseline"
    areas = [case.area for case in cases]
    tables = [case.area - case.scratch for case in cases]
    gains = np.concatenate([table[~np.isnan(table)] for table in tables])
    means = [metrics.crossed_mean(table) for table in tables]
    profile, band = metrics.profile_interval(areas, thresholds)
    verdicts = [(case.label, case.row.verdict) for case in cases]
    return RecipeOverall(
        recipe=cases[0].row.recipe,
        kind=cases[0].row.kind,
        pairs=len(cases),
        runs=gains.size,
        gain=_UNKNOWN if baseline else _estimate(metrics.mean_of_means(means)),
        iqm=_iqm(areas),
        final_iqm=_iqm([case.final for case in cases]),
        improvement=_UNKNOWN if baseline else _improvement(cases),
        negative=math.nan if baseline else metrics.negative_transfer_rate(gains),
        worst_decile=math.nan if baseline else metrics.worst_decile(gains),
        p=math.nan if baseline else metrics.sign_flip_test([mean.value for mean in means]),
        p_holm=math.nan,
        helped=tuple(label for label, verdict in verdicts if verdict == "helped"),
        hurt=tuple(label for label, verdict in verdicts if verdict == "hurt"),
        unclear=tuple(
            label for label, word in verdicts if word not in ("baseline", "helped", "hurt")
        ),
        profile=profile,
        profile_low=np.asarray(band.low),
        profile_high=np.asarray(band.high),
    )


def _estimate(mean: metrics.Mean) -> Estimate:
    return Estimate(mean.value, *map(float, mean.interval()))


def _iqm(tables: Sequence[np.ndarray]) -> Estimate:
    scores = np.concatenate([table[~np.isnan(table)] for table in tables])
    return Estimate(float(metrics.iqm(scores)), *map(float, metrics.iqm_interval(tables)))


def _improvement(cases: Sequence[_Case]) -> Estimate:
    chance, interval = metrics.improvement_interval(
        [case.area for case in cases], [case.scratch for case in cases]
    )
    return Estimate(chance, *map(float, interval))


def _thresholds(cases: Mapping[str, Sequence[_Case]]) -> np.ndarray:
    """From the lowest AUC or 0 to the highest or 1."""
    areas = [case.area for found in cases.values() for case in found]
    low = min([0.0, *(float(np.nanmin(area)) for area in areas)])
    high = max([1.0, *(float(np.nanmax(area)) for area in areas)])
    return np.linspace(low, high, POINTS)


def _judged(recipes: Sequence[RecipeOverall]) -> tuple[RecipeOverall, ...]:
    adjusted: dict[str, float] = {}
    for kind in ("method", "control"):
        family = [recipe for recipe in recipes if recipe.kind == kind]
        values = metrics.holm([recipe.p for recipe in family])
        adjusted |= {recipe.recipe: float(p) for recipe, p in zip(family, values, strict=True)}
    return tuple(
        replace(recipe, p_holm=adjusted.get(recipe.recipe, math.nan)) for recipe in recipes
    )


def _notes(
    asked: Sequence[tuple[Comparison, Summary]], cases: Mapping[str, Sequence[_Case]]
) -> dict[str, str]:
    notes = {}
    if left := [comparison.label for comparison, _ in asked if not comparison.normalized]:
        notes["left out"] = f"{', '.join(left)}: the scores are returns without a common scale"
    pairs = len(asked) - len(left)
    for recipe, found in cases.items():
        if len(found) < pairs:
            notes[recipe] = (
                f"run on {len(found)} of {pairs} pairs: its gain compares with scratch on those, "
                "its means do not compare with those of other recipes"
            )
    return notes
