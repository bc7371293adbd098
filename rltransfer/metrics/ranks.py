"""Rank correlations between two numbers that are known of each of some pairs of tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument
from rltransfer.metrics.intervals import Interval, _percentiles, _unknown

EXACT_UP_TO = 7
"""Largest number of pairs whose orders are all tried, 5,040 of them."""


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, where ties share their mean rank.

    Args:
        x: One number for each of n things, shape ``(n,)``.
        y: Another one for each, shape ``(n,)``.

    Returns:
        A correlation in [-1, 1]; ``nan`` when one side is constant.

    Raises:
        BadArgument: The shapes differ, there are fewer than two, or a number is not finite.

    Source:
        Spearman 1904, American Journal of Psychology 15:72.
    """
    one, other = _checked(x, y)
    return float(_spearman(_signs(one), _signs(other)))


def kendall(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's tau-b: how many more pairs of things are ordered alike than differently.

    ``tau_b = (C - D) / sqrt((C + D + T_x) (C + D + T_y))`` with ``T_x`` pairs that are tied in
    ``x`` alone.

    Args:
        x: One number for each of n things, shape ``(n,)``.
        y: Another one for each, shape ``(n,)``.

    Returns:
        A correlation in [-1, 1]; ``nan`` when one side is constant.

    Raises:
        BadArgument: As for :func:`spearman`.

    Source:
        Kendall 1945, Biometrika 33:239.
    """
    one, other = _checked(x, y)
    return float(_kendall(_signs(one), _signs(other)))


def rank_interval(
    x: ArrayLike,
    y: ArrayLike,
    statistic: str = "spearman",
    *,
    level: float = 0.95,
    resamples: int = 5_000,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a rank correlation over the things that are ranked.

    The percentiles are expanded for few things, as those of
    :func:`rltransfer.metrics.bootstrap_interval` are; a nominal 95 % covered Spearman's correlation
    of 18 pairs of normal numbers in 0.98 of 600 simulated cases each, whether they correlated by 0
    or 0.7. A resample in which one side is constant orders nothing, and counts as 0.

    Args:
        x: One number for each of n things, shape ``(n,)``.
        y: Another one for each, shape ``(n,)``.
        statistic: ``"spearman"`` or ``"kendall"``.
        level: Nominal coverage, in (0, 1).
        resamples: Bootstrap samples.
        seed: Same seed, same interval.

    Returns:
        The two ends; ``nan`` when the correlation is.

    Raises:
        BadArgument: As for :func:`spearman`, or the statistic is unknown.
    """
    one, other = _checked(x, y)
    correlation = _named(statistic)
    if math.isnan(float(correlation(_signs(one), _signs(other)))):
        return _unknown(())

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        picked = rng.integers(one.size, size=(n, one.size))
        return np.nan_to_num(correlation(_signs(one[picked]), _signs(other[picked])))

    return _percentiles(draw, 2 * one.size**2, level, resamples, seed, one.size - 1)


def rank_test(
    x: ArrayLike,
    y: ArrayLike,
    statistic: str = "spearman",
    *,
    resamples: int = 20_000,
    seed: int = 0,
) -> float:
    """Two-sided permutation test of a rank correlation against "the two have nothing in common".

    If they have nothing in common, each order of ``y`` was as likely. ``p`` is the share of orders
    that correlate at least as strongly: of all up to :data:`EXACT_UP_TO` things, of a random
    sample beyond, as ``(1 + hits) / (1 + resamples)``.

    Args:
        x: One number for each of n things, shape ``(n,)``.
        y: Another one for each, shape ``(n,)``.
        statistic: ``"spearman"`` or ``"kendall"``.
        resamples: Random orders beyond that.
        seed: Same seed, same result.

    Returns:
        A p-value in (0, 1]; ``nan`` when the correlation is.

    Raises:
        BadArgument: As for :func:`rank_interval`, or ``resamples`` is out of range.
    """
    one, other = _checked(x, y)
    correlation = _named(statistic)
    if type(resamples) is not int or resamples < 1:
        raise BadArgument(f"resamples is {resamples!r}: give a whole number, at least 1")
    fixed = _signs(one)
    observed = abs(float(correlation(fixed, _signs(other)))) - 1e-12
    if math.isnan(observed):
        return math.nan
    if one.size <= EXACT_UP_TO:
        orders = np.array(list(permutations(range(one.size))))
        return float(np.mean(np.abs(correlation(fixed, _signs(other[orders]))) >= observed))
    rng = np.random.default_rng(seed)
    hits = 0
    for chunk in np.array_split(np.arange(resamples), math.ceil(resamples * one.size**2 / 2e6)):
        orders = rng.permuted(np.tile(np.arange(one.size), (len(chunk), 1)), axis=1)
        hits += np.count_nonzero(np.abs(correlation(fixed, _signs(other[orders]))) >= observed)
    return (1 + hits) / (1 + resamples)


def _signs(values: np.ndarray) -> np.ndarray:
    """Sign of ``v_i - v_j`` for all i and j, shape ``(..., n, n)``: all that ranks depend on."""
    return np.sign(values[..., :, None] - values[..., None, :]).astype(np.int8)


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row sums of the signs are twice the centered ranks."""
    a, b = x.sum(axis=-1, dtype=float), y.sum(axis=-1, dtype=float)
    return _ratio((a * b).sum(axis=-1), (a**2).sum(axis=-1) * (b**2).sum(axis=-1))


def _kendall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    axes = (-2, -1)
    untied = np.abs(x).sum(axis=axes, dtype=float) * np.abs(y).sum(axis=axes, dtype=float)
    return _ratio((x * y).sum(axis=axes, dtype=float), untied)


def _ratio(product: np.ndarray, squares: np.ndarray) -> np.ndarray:
    known = squares > 0
    return np.where(known, product / np.sqrt(np.where(known, squares, 1.0)), np.nan)


_STATISTICS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "spearman": _spearman,
    "kendall": _kendall,
}


def _named(statistic: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if statistic not in _STATISTICS:
        raise BadArgument(f"statistic is {statistic!r}: expected one of {', '.join(_STATISTICS)}")
    return _STATISTICS[statistic]


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if one.ndim != 1 or one.shape != other.shape or one.size < 2:
        raise BadArgument(f"ranks of shapes {one.shape} and {other.shape}; expected (n,) twice")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise BadArgument("ranks of numbers that are not finite: leave out what is not known")
    return one, other
