"""When the runs of an arm reached the thresholds, against their partners."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rltransfer import metrics
from rltransfer.report.data import Comparison, Curve
from rltransfer.report.pairing import Pairing
from rltransfer.report.summary import ThresholdTime

CONSECUTIVE = 3
"""Evaluations in a row that count as having reached a threshold."""


def few_evaluations(c: Comparison, runs: Sequence[Curve]) -> bool:
    """Whether a run has too few evaluations within the budget to tell when it got somewhere."""
    return any(np.count_nonzero(run.steps <= c.budget) < CONSECUTIVE for run in runs)


def threshold_time(c: Comparison, paired: Pairing, level: float) -> ThresholdTime:
    """Compare the times at which the runs and their partners reached a threshold.

    Args:
        c: The comparison; its scores are normalized.
        paired: The runs and their partners; an arm paired with itself gives times alone.
        level: Fraction of the way from random to reference score.

    Returns:
        Times in environment steps; ``nan`` where a run has too few evaluations to tell.
    """
    times, times_0 = _times(c, paired.runs, level), _times(c, paired.partners, level)
    if times is None or times_0 is None:
        nan = math.nan
        return ThresholdTime(
            threshold=level, steps=nan, median=nan, reached=0, runs=len(paired.runs),
            scratch_reached=0, speed_up=nan, saved=nan, break_even=nan,
        )  # fmt: skip
    mean = metrics.restricted_mean_time(times, c.budget)
    mean_0 = metrics.restricted_mean_time(times_0, c.budget)
    compared = paired.runs != paired.partners
    known = compared and bool(times.reached.any() or times_0.reached.any())
    return ThresholdTime(
        threshold=level,
        steps=mean,
        median=metrics.median_time(times),
        reached=int(times.reached.sum()),
        runs=len(paired.runs),
        scratch_reached=int(times_0.reached.sum()),
        speed_up=metrics.speed_up(mean, mean_0) if known else math.nan,
        saved=mean_0 - mean if known else math.nan,
        break_even=metrics.break_even(c.source_steps, mean_0 - mean) if known else math.nan,
    )


def _times(c: Comparison, runs: Sequence[Curve], level: float) -> metrics.Censored | None:
    """Times of the runs, each on its own evaluations; nothing when one has too few of them."""
    if few_evaluations(c, runs):
        return None
    found = [
        metrics.time_to_threshold(
            run.steps, run.scores, level, consecutive=CONSECUTIVE, budget=c.budget
        )
        for run in runs
    ]
    return metrics.Censored(
        np.array([f.time for f in found], dtype=float), np.array([f.reached for f in found])
    )
