"""Rank correlations against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rltransfer import metrics as m
from rltransfer.errors import BadArgument

ASCENDING = [1.0, 2.0, 3.0, 4.0]


def test_spearman_by_hand() -> None:
    # Ranks 1 2 3 4 and 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert m.spearman(ASCENDING, [20, 10, 40, 30]) == pytest.approx(0.6)
    assert m.spearman(ASCENDING, [1, 8, 27, 64]) == pytest.approx(1)
    assert m.spearman(ASCENDING, [0, -1, -2, -3]) == pytest.approx(-1)


def test_spearman_gives_ties_their_mean_rank() -> None:
    # Ranks 1 2.5 2.5 4 against 1 2 3 4: covariance 4.5, squares 4.5 and 5.
    assert m.spearman([1, 5, 5, 9], ASCENDING) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_kendall_by_hand() -> None:
    # Of 6 pairs, 4 agree and 2 do not.
    assert m.kendall(ASCENDING, [20, 10, 40, 30]) == pytest.approx(2 / 6)


def test_kendall_corrects_for_ties() -> None:
    # 5 pairs agree, one is tied in x alone: 5 / sqrt(5 * 6).
    assert m.kendall([1, 5, 5, 9], ASCENDING) == pytest.approx(5 / math.sqrt(30))
    # One tied in each, different ones: 4 agree; 4 / sqrt(5 * 5).
    assert m.kendall([1, 5, 5, 9], [1, 1, 2, 3]) == pytest.approx(4 / 5)


def test_a_constant_orders_nothing() -> None:
    for correlation in (m.spearman, m.kendall, m.rank_test):
        assert math.isnan(correlation([1, 1, 1], [1, 2, 3]))
    assert np.isnan(m.rank_interval([1, 1, 1], [1, 2, 3])).all()


@pytest.mark.parametrize("statistic", ["spearman", "kendall"])
def test_the_exact_test_counts_orders(statistic: str) -> None:
    # Of 24 orders, only the same and the reverse correlate perfectly.
    assert m.rank_test(ASCENDING, ASCENDING, statistic) == pytest.approx(2 / 24)
    assert m.rank_test([1, 2, 3], [2, 1, 3], statistic) == pytest.approx(1)


def test_the_random_test_agrees_with_the_exact_one() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=9), rng.normal(size=9)
    p = m.rank_test(x, y)
    assert m.rank_test(x, y, seed=1) == pytest.approx(p, abs=0.02)
    assert m.rank_test(x, x) == pytest.approx(1 / 20_001, abs=2e-4)


def test_intervals_hold_what_they_are_of_and_exclude_0_where_it_is_clear() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(16.0)
    for statistic, correlation in (("spearman", m.spearman), ("kendall", m.kendall)):
        clear = x + rng.normal(size=16)
        low, high = m.rank_interval(x, clear, statistic)
        assert 0 < low < correlation(x, clear) < high <= 1
        low, high = m.rank_interval(x, rng.normal(size=16), statistic)
        assert low < 0 < high


def test_intervals_cover() -> None:
    """Of two normal numbers without anything in common, about 95 % hold 0."""
    rng = np.random.default_rng(5)
    found = [m.rank_interval(*rng.normal(size=(2, 15)), resamples=400) for _ in range(200)]
    assert np.mean([low <= 0 <= high for low, high in found]) > 0.92


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(BadArgument, match="twice"):
        m.spearman([1, 2], [1, 2, 3])
    with pytest.raises(BadArgument, match="not finite"):
        m.kendall([1, 2, math.nan], [1, 2, 3])
    with pytest.raises(BadArgument, match="expected one of spearman, kendall"):
        m.rank_interval([1, 2], [1, 2], "pearson")
    for resamples in (0, -5, 2.5):
        with pytest.raises(BadArgument, match="resamples is"):
            m.rank_test(range(9), range(9), resamples=resamples)  # pyright: ignore
