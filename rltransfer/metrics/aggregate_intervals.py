"""Intervals of aggregates over many tasks, which are taken as given.

A probability of improvement and a point of a profile are, to first order, means of one number per
run (its influence), whose variance is estimated within tasks, over source checkpoints and seeds, as
in :func:`rltransfer.metrics.crossed_mean`. The interquartile mean has a bootstrap instead.

With one source, a nominal 95 % covers 0.95 to 0.99 at 10 seeds. With 2 or 3 source checkpoints that
differ, the intervals of a probability and of a profile are too narrow: they cover 0.80 and 0.77 at
worst with 2, 0.87 with 3, and 0.91 or more with 5; see
``benchmarks/results/coverage/coverage.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument
from rltransfer.metrics.aggregates import iqm, performance_profile
from rltransfer.metrics.crossed import Mean, crossed_mean, mean_of_means
from rltransfer.metrics.intervals import Interval
from rltransfer.metrics.student import t_quantile


def iqm_interval(
    tables: Sequence[ArrayLike], *, level: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> Interval:
    """Bootstrap interval of the interquartile mean of all runs on all tasks.

    Sources, and seeds within them, are resampled within each task. The percentiles are then
    stretched about the estimate, by the factor that takes the bootstrap's interval of the plain
    mean to that of :func:`rltransfer.metrics.crossed_mean`: 1.22 for one source with 10 seeds, more
    for few sources.

    Args:
        tables: Scores on each task, shape ``(sources, seeds)`` or ``(seeds,)``, ``nan`` for missing
            runs.
        level: Nominal coverage, in (0, 1).
        resamples: Bootstrap samples.
        seed: Same seed, same interval.

    Returns:
        The two ends; ``nan`` when a task has a single run.

    Source:
        Agarwal et al. 2021, section 4.1 (resampling within tasks).
    """
    center, half = float(iqm(_pooled(tables))), _weighted(tables).half(level)
    if math.isnan(half):
        return Interval(np.float64(np.nan), np.float64(np.nan))
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([_resample(rng, table, resamples) for table in tables], axis=1)
    spread = NormalDist().inv_cdf((1 + level) / 2) * float(drawn.mean(axis=1).std())
    stretch = half / spread if spread > 0 else 1.0
    tail = (1 - level) / 2
    low, high = np.quantile(iqm(drawn, axis=1), [tail, 1 - tail])
    return Interval(center + stretch * (low - center), center + stretch * (high - center))


def _resample(rng: np.random.Generator, table: ArrayLike, resamples: int) -> np.ndarray:
    """Resampled runs of one task, shape ``(resamples, runs)``."""
    values = np.atleast_2d(np.asarray(table, dtype=float))
    values = np.sort(values, axis=1)  # missing runs last
    sources, seeds = values.shape
    source = rng.integers(sources, size=(resamples, sources, 1))
    there = np.count_nonzero(~np.isnan(values), axis=1)[source]
    pick = (rng.random((resamples, sources, seeds)) * there).astype(int)
    return values[source, pick].reshape(resamples, -1)


def improvement_interval(
    x: Sequence[ArrayLike], y: Sequence[ArrayLike], *, level: float = 0.95
) -> tuple[float, Interval]:
    """Chance that a run of X beats a run of Y on the same task, averaged over tasks.

    Args:
        x: Scores of X on each task, shape ``(sources, seeds)`` or ``(seeds,)``, ``nan`` for
            missing runs.
        y: Scores of Y on each task, shape ``(seeds,)``: the seeds are those of X.
        level: Nominal coverage, in (0, 1).

    Returns:
        The probability, as in :func:`rltransfer.metrics.probability_of_improvement` over all pairs
        of runs, and its interval within [0, 1].

    Source:
        Sen 1967, Sankhya A 29:95 (the influence of a run); Wilson 1927, JASA 22:209.
    """
    parts = [_improvement(np.atleast_2d(a), np.asarray(b)) for a, b in zip(x, y, strict=True)]
    mean = mean_of_means(parts)
    return mean.value, _share_interval(mean, sum(np.size(b) for b in y), level)


def profile_interval(
    tables: Sequence[ArrayLike], thresholds: ArrayLike, *, level: float = 0.95
) -> tuple[np.ndarray, Interval]:
    """Fraction of all runs that score above each threshold, with pointwise intervals.

    Args:
        tables: Scores on each task, shape ``(sources, seeds)`` or ``(seeds,)``, ``nan`` for missing
            runs.
        thresholds: Shape ``(m,)``.
        level: Nominal coverage at one threshold, not of the whole band, in (0, 1).

    Returns:
        Fractions, shape ``(m,)``, and their intervals within [0, 1].

    Source:
        Agarwal et al. 2021, section 4.2 (profiles); Wilson 1927, JASA 22:209.
    """
    scores, levels = _pooled(tables), np.atleast_1d(np.asarray(thresholds, dtype=float))
    ends = [_share_above(tables, tau, scores.size, level) for tau in levels]
    low, high = np.array(ends).T
    return performance_profile(scores, levels), Interval(low, high)


def _share_above(tables: Sequence[ArrayLike], tau: float, runs: int, level: float) -> Interval:
    arrays = [np.asarray(table, dtype=float) for table in tables]
    above = [np.where(np.isnan(array), np.nan, array > tau) for array in arrays]
    share = float(np.nanmean(np.concatenate([part.ravel() for part in above])))
    return _share_interval(_weighted(above)._replace(value=share), runs, level)


def _improvement(x: np.ndarray, y: np.ndarray) -> Mean:
    if x.shape[1] != y.size:
        raise BadArgument(
            f"{x.shape[1]} seeds of X and {y.size} of Y; pass runs with the same seeds"
        )
    wins = (np.sign(x[:, :, None] - y) + 1) / 2
    placed = np.nanmean(wins, axis=2)
    there = ~np.isnan(x)
    error = crossed_mean(np.where(there, placed + np.nanmean(wins, axis=(0, 1)), np.nan))
    return error._replace(value=float(np.mean(np.nanmean(placed, axis=1))))


def _share_interval(share: Mean, runs: int, level: float) -> Interval:
    """Wilson's interval, with the half-width of the t interval in place of the binomial one.

    When all runs agree there is no spread to estimate the error from, and the binomial one is used.
    """
    p, half = min(1.0, max(0.0, share.value)), share.half(level)
    if math.isnan(half):
        return Interval(np.float64(np.nan), np.float64(np.nan))
    quantile = float(t_quantile((1 + level) / 2, max(1, runs - 1)))
    ratio = half**2 / (p * (1 - p)) if half > 0 and 0 < p < 1 else quantile**2 / runs
    middle = (p + ratio / 2) / (1 + ratio)
    width = math.sqrt(ratio * p * (1 - p) + ratio**2 / 4) / (1 + ratio)
    return Interval(np.float64(max(0.0, middle - width)), np.float64(min(1.0, middle + width)))


def _weighted(tables: Sequence[ArrayLike]) -> Mean:
    """Mean over all runs, so that tasks count by their number of runs."""
    means = [crossed_mean(table) for table in tables]
    return mean_of_means(means, [int(np.count_nonzero(~np.isnan(table))) for table in tables])


def _pooled(tables: Sequence[ArrayLike]) -> np.ndarray:
    if not tables:
        raise BadArgument("no tasks; expected one table of scores or more")
    scores = np.concatenate([np.asarray(table, dtype=float).ravel() for table in tables])
    return scores[~np.isnan(scores)]
