"""Paired comparisons: runs that share a seed, and tests of their differences."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument


def paired_differences(values: Mapping[int, float], baseline: Mapping[int, float]) -> np.ndarray:
    """Differences between runs with the same seed: ``d_s = x_s - y_s``.

    Args:
        values: Seed to value, with transfer.
        baseline: Seed to value, without.

    Returns:
        Differences in ascending order of the seed, shape ``(runs,)``.

    Raises:
        BadArgument: There are no runs, or a seed has no partner.
    """
    if not values or set(values) != set(baseline):
        alone = sorted(set(values) ^ set(baseline))
        raise BadArgument(
            f"seeds without a partner: {', '.join(map(str, alone)) or 'there are no runs at all'}; "
            "run both arms with the same seeds"
        )
    return np.array([values[seed] - baseline[seed] for seed in sorted(values)], dtype=float)


def pair_correlation(values: ArrayLike, baseline: ArrayLike) -> float:
    """Pearson correlation between the two members of the pairs: what pairing by seed bought.

    Args:
        values: One value per seed, shape ``(runs,)``.
        baseline: The partners, shape ``(runs,)``.

    Returns:
        A correlation in [-1, 1]; ``nan`` for fewer than 3 pairs or when one side is constant.
    """
    x, y = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise BadArgument(f"pairs have shapes {x.shape} and {y.shape}; expected (runs,) twice")
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def sign_flip_test(
    differences: ArrayLike, *, exact_up_to: int = 14, resamples: int = 20_000, seed: int = 0
) -> float:
    """Two-sided permutation test of paired differences against "transfer changes nothing".

    If it changes nothing, each difference could as well have had the other sign. ``p`` is the share
    of the sign patterns whose mean is at least as far from 0 as the observed one: of all ``2^n`` up
    to ``exact_up_to`` pairs, of a random sample beyond, as ``(1 + hits) / (1 + resamples)``. The
    smallest possible ``p`` is ``2 / 2^n``: 0.0625 at 5 pairs, 0.03125 at 6.

    Args:
        differences: Paired differences, shape ``(runs,)``.
        exact_up_to: Largest number of pairs for which every pattern is tried, at most 20.
        resamples: Random sign patterns beyond that.
        seed: Same seed, same result.

    Returns:
        A p-value in (0, 1]; 1 when all differences are 0.

    Raises:
        BadArgument: There are no differences, or one is not finite.

    Source:
        Fisher 1935; the correction is that of Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol.
        9:39.
    """
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1 or d.size == 0 or not np.isfinite(d).all():
        raise BadArgument("differences must be a non-empty 1-D array of finite numbers")
    if resamples < 1 or exact_up_to > 20:
        raise BadArgument(
            f"resamples {resamples} must be at least 1 and exact_up_to {exact_up_to} at most 20"
        )
    # Patterns that tie with the observed one must count, whatever the order of summation.
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    if d.size <= exact_up_to:
        patterns = (np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ d) >= observed))
    patterns = np.random.default_rng(seed).integers(2, size=(resamples, d.size))
    hits = np.count_nonzero(np.abs((2 * patterns - 1) @ d) >= observed)
    return (1 + hits) / (1 + resamples)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust the p-values of a family of tests so that all of them can be read at one level.

    ``p~_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))`` in ascending order.

    Args:
        p_values: One per test, shape ``(m,)``, in [0, 1].

    Returns:
        Adjusted p-values in the given order.

    Raises:
        BadArgument: A p-value is outside [0, 1].

    Source:
        Holm 1979, Scand. J. Stat. 6:65.
    """
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise BadArgument("p-values must be a 1-D array of numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return adjusted
