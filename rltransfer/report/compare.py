"""From learning curves to numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rltransfer import metrics
from rltransfer.errors import BadArgument
from rltransfer.report.data import Arm, Comparison
from rltransfer.report.summary import Estimate, Row, Summary, ThresholdTime, verdict

CONSECUTIVE = 3
"""Evaluations in a row that count as having reached a threshold."""


def summarize(comparison: Comparison, *, resamples: int = 10_000, seed: int = 0) -> Summary:
    """Compare every arm with scratch, paired by seed.

    Args:
        comparison: The learning curves. Seeds that only one of the two arms has are not used, which
            the notes then say.
        resamples: Bootstrap samples per interval.
        seed: Of the bootstrap and of the sign-flip test beyond 14 seeds.

    Returns:
        The numbers. They are the same for the same input.

    Raises:
        BadArgument: An arm has no seed in common with scratch.
    """
    scratch, notes = comparison.arms["scratch"], dict(comparison.notes)
    rows = [_row(comparison, scratch, scratch, resamples, seed)]
    for name in comparison.transferred:
        arm, control = _pair(comparison.arms[name], scratch, notes)
        rows.append(_row(comparison, arm, control, resamples, seed))
    if comparison.normalized and math.isnan(rows[0].times[0].steps):
        notes["time to threshold"] = f"left out: a run has fewer than {CONSECUTIVE} evaluations"
    return Summary(
        label=comparison.label,
        source=comparison.source,
        target=comparison.target,
        budget=comparison.budget,
        source_steps=comparison.source_steps,
        normalized=comparison.normalized,
        expect=comparison.expect,
        rows=(rows[0], *_judged(rows[1:])),
        notes=notes,
    )


def _pair(arm: Arm, scratch: Arm, notes: dict[str, str]) -> tuple[Arm, Arm]:
    common = sorted(set(arm.seeds) & set(scratch.seeds))
    if not common:
        raise BadArgument(
            f"{arm.recipe!r} has seeds {list(arm.seeds)} and scratch {list(scratch.seeds)}; run "
            "both with the same seeds"
        )
    if alone := sorted(set(arm.seeds) ^ set(scratch.seeds)):
        notes[f"{arm.recipe} (seeds)"] = (
            f"seeds {', '.join(map(str, alone))} do not count: they are not in both it and scratch"
        )
    return arm.only(common), scratch.only(common)


def _judged(rows: list[Row]) -> list[Row]:
    adjusted = metrics.holm([row.p for row in rows])
    return [
        replace(
            row, p_holm=float(p), verdict=verdict(row.gain, row.p, float(p), seeds=len(row.seeds))
        )
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _row(c: Comparison, arm: Arm, control: Arm, resamples: int, seed: int) -> Row:
    """One row; an arm that is its own control gives the row of scratch."""
    grid, baseline = c.grid(), arm is control
    scores, scratch = arm.on_grid(grid), control.on_grid(grid)
    area, area_0 = metrics.auc(grid, scores), metrics.auc(grid, scratch)
    end, end_0 = metrics.asymptote(grid, scores), metrics.asymptote(grid, scratch)

    def estimate(differences: np.ndarray | np.float64) -> Estimate:
        if baseline:
            return Estimate(math.nan, math.nan, math.nan)
        low, high = metrics.bootstrap_interval(differences, resamples=resamples, seed=seed)
        return Estimate(float(np.mean(differences)), float(low), float(high))

    return Row(
        recipe=arm.recipe,
        seeds=arm.seeds,
        auc=float(np.mean(area)),
        gain=estimate(area - area_0),
        p=math.nan if baseline else metrics.sign_flip_test(area - area_0, seed=seed),
        p_holm=math.nan,
        correlation=math.nan if baseline else metrics.pair_correlation(area, area_0),
        negative=math.nan if baseline else metrics.negative_transfer_rate(area - area_0),
        jumpstart=estimate(metrics.jumpstart(grid, scores, scratch)),
        asymptote=float(np.mean(end)),
        asymptote_gain=estimate(end - end_0),
        transfer_ratio=math.nan if baseline else _ratio(c, area, area_0),
        forward_transfer=math.nan if baseline else _forward(c, grid, scores, scratch),
        times=tuple(_time(c, arm, control, level) for level in c.thresholds if c.normalized),
        verdict="baseline",
    )


def _ratio(c: Comparison, area: np.ndarray | np.float64, area_0: np.ndarray | np.float64) -> float:
    means = float(np.mean(area)), float(np.mean(area_0))
    return metrics.transfer_ratio(*means) if c.normalized and min(means) >= 0 else math.nan


def _forward(c: Comparison, grid: np.ndarray, scores: np.ndarray, scratch: np.ndarray) -> float:
    if not c.normalized:
        return math.nan
    areas = [float(np.mean(metrics.auc(grid, np.clip(x, 0, 1)))) for x in (scores, scratch)]
    # A mean of clipped scores can exceed 1 by rounding.
    return metrics.forward_transfer(*(min(area, 1.0) for area in areas))


def _time(c: Comparison, arm: Arm, control: Arm, level: float) -> ThresholdTime:
    times, times_0 = _times(c, arm, level), _times(c, control, level)
    if times is None or times_0 is None:
        nan = math.nan
        return ThresholdTime(
            threshold=level, steps=nan, median=nan, reached=0, runs=len(arm.runs),
            scratch_reached=0, speed_up=nan, saved=nan, break_even=nan,
        )  # fmt: skip
    mean = metrics.restricted_mean_time(times, c.budget)
    mean_0 = metrics.restricted_mean_time(times_0, c.budget)
    known = arm is not control and bool(times.reached.any() or times_0.reached.any())
    return ThresholdTime(
        threshold=level,
        steps=mean,
        median=metrics.median_time(times),
        reached=int(times.reached.sum()),
        runs=len(arm.runs),
        scratch_reached=int(times_0.reached.sum()),
        speed_up=metrics.speed_up(mean, mean_0) if known else math.nan,
        saved=mean_0 - mean if known else math.nan,
        break_even=metrics.break_even(c.source_steps, mean_0 - mean) if known else math.nan,
    )


def _times(c: Comparison, arm: Arm, level: float) -> metrics.Censored | None:
    """Times of the runs, each on its own evaluations; nothing when one has too few of them."""
    if any(np.count_nonzero(run.steps <= c.budget) < CONSECUTIVE for run in arm.runs):
        return None
    found = [
        metrics.time_to_threshold(
            run.steps, run.scores, level, consecutive=CONSECUTIVE, budget=c.budget
        )
        for run in arm.runs
    ]
    return metrics.Censored(
        np.array([f.time for f in found], dtype=float), np.array([f.reached for f in found])
    )
