"""Aggregates, intervals and tests against values worked out by hand, and against rliable."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from rltransfer import metrics as m
from rltransfer.errors import BadArgument


def test_iqm_cuts_whole_scores_rounded_down() -> None:
    assert m.iqm([1, 2, 3, 100]) == 2.5
    assert m.iqm([5, 1, 2, 3, 100]) == pytest.approx(10 / 3)  # 5 // 4 = 1 off each end
    assert m.iqm([1, 2, 6]) == 3  # nothing to cut
    assert m.iqm([7]) == 7
    assert m.iqm([[1, 2], [3, 100]]) == 2.5
    assert m.iqm([[1, 2, 3, 100], [0, 0, 0, 0]], axis=1).tolist() == [2.5, 0]
    assert m.iqm([[1, 0], [2, 0], [3, 0], [100, 0]], axis=0).tolist() == [2.5, 0]


def test_optimality_gap_gives_no_credit_beyond_the_target() -> None:
    assert m.optimality_gap([0.5, 1, 3]) == pytest.approx(1 / 6)
    assert m.optimality_gap([2, 3]) == 0
    assert m.optimality_gap([0.5, 1, 3], 2) == pytest.approx(5 / 6)
    assert m.optimality_gap([[0.0, 1], [1, 1]], axis=1).tolist() == [0.5, 0]


def test_probability_of_improvement_counts_ties_half() -> None:
    assert m.probability_of_improvement([3, 4], [1, 2]) == 1
    assert m.probability_of_improvement([1, 2], [3, 4]) == 0
    assert m.probability_of_improvement([1, 3], [2, 3]) == pytest.approx((0 + 0 + 1 + 0.5) / 4)
    assert m.probability_of_improvement([1, 1, 1], [1, 1]) == 0.5
    two_tasks = m.probability_of_improvement([[1, 0], [2, 0]], [[0, 5]])
    assert two_tasks == 0.5
    with pytest.raises(BadArgument, match="2 and on 1 tasks"):
        m.probability_of_improvement([[1, 0]], [1])


def test_performance_profile_is_strictly_above() -> None:
    assert m.performance_profile([[0.2, 0.5], [0.5, 0.9]], [0, 0.2, 0.5, 1]).tolist() == [
        1, 0.75, 0.25, 0,
    ]  # fmt: skip


def test_aggregates_agree_with_rliable() -> None:
    rliable = pytest.importorskip("rliable.metrics")
    rng = np.random.default_rng(0)
    for case in range(100):
        runs_x, runs_y, tasks = rng.integers(1, 20, size=3)
        x, y = rng.normal(size=(runs_x, tasks)), rng.normal(0.3, size=(runs_y, tasks))
        if case % 2:  # many ties
            x, y = x.round(), y.round()
        assert m.iqm(x) == pytest.approx(rliable.aggregate_iqm(x), abs=1e-12)
        assert m.optimality_gap(x) == pytest.approx(rliable.aggregate_optimality_gap(x))
        assert m.probability_of_improvement(x, y) == pytest.approx(
            rliable.probability_of_improvement(x, y)
        )


@pytest.mark.parametrize("scores", [[], [1, np.nan], [np.inf]])
def test_scores_must_be_finite(scores: list) -> None:
    for aggregate in (m.iqm, m.optimality_gap, lambda x: m.performance_profile(x, [0])):
        with pytest.raises(BadArgument, match="finite"):
            aggregate(scores)


def test_bootstrap_interval_of_two_runs_is_their_range() -> None:
    # Resamples of (0, 4) have means 0, 2, 2, 4.
    assert m.bootstrap_interval([0, 4]) == (0, 4)
    # At 30 % the tails are wider than a quarter each: t at 1 degree is tan(0.15 pi), times sqrt(2).
    assert NormalDist().cdf(-math.tan(0.15 * math.pi) * math.sqrt(2)) == pytest.approx(0.2355, 1e-3)
    assert m.bootstrap_interval([0, 4], level=0.3) == (0, 4)
    assert m.bootstrap_interval([0, 4], level=0.2) == (2, 2)


def test_bootstrap_interval_has_the_expanded_percentiles_of_the_exact_distribution() -> None:
    values = np.array([0.3, 1.0, 2.2, 4.5, 4.9])
    means = [np.mean(pick) for pick in itertools.product(values, repeat=5)]
    tail = NormalDist().cdf(-2.776445 * math.sqrt(5 / 4))
    assert tail == pytest.approx(0.00095, abs=1e-5)
    exact = np.quantile(means, [tail, 1 - tail])
    assert m.bootstrap_interval(values, resamples=200_000) == pytest.approx(exact, abs=0.05)


def test_bootstrap_interval_of_other_statistics_and_shapes() -> None:
    values = np.random.default_rng(0).normal(size=(8, 3))
    together = np.array(m.bootstrap_interval(values, m.iqm, resamples=500))
    assert together.shape == (2, 3)
    alone = m.bootstrap_interval(values[:, 1], m.iqm, resamples=500)
    assert together[0, 1] <= m.iqm(values[:, 1]) <= together[1, 1]
    assert together[:, 1] == pytest.approx(np.array(alone), abs=0.2)


def test_intervals_say_nothing_for_one_run_and_are_points_for_constant_ones() -> None:
    assert np.isnan(m.bootstrap_interval([3.0])).all()
    assert m.bootstrap_interval([3.0] * 5) == (3, 3)


def test_intervals_are_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(1).normal(size=(9, 4))
    for interval in (
        lambda seed: m.bootstrap_interval(values[:, 0], seed=seed),
        lambda seed: m.iqm_interval(list(values), seed=seed),
    ):
        assert interval(3) == interval(3) != interval(4)


def test_memory_chunks_do_not_change_what_is_resampled() -> None:
    wide = np.tile(np.random.default_rng(2).normal(size=(6, 1)), (1, 1000))
    ends = np.array(m.bootstrap_interval(wide, resamples=2000))  # several chunks
    assert np.ptp(ends, axis=1).tolist() == [0, 0]
    assert tuple(ends[:, 0]) == m.bootstrap_interval(wide[:, 0], resamples=2000)


def test_bootstrap_arguments_are_checked() -> None:
    for wrong in ({"level": 1.0}, {"level": 0.0}, {"resamples": 0}):
        with pytest.raises(BadArgument, match="level"):
            m.bootstrap_interval([1, 2], **wrong)  # pyright: ignore[reportArgumentType]
    for values in ([], 3.0, [1, np.inf]):
        with pytest.raises(BadArgument, match="non-empty"):
            m.bootstrap_interval(values)


@pytest.mark.parametrize(("runs", "stated"), [(5, 0.91), (10, 0.94), (20, 0.945)])
def test_bootstrap_interval_covers_as_stated(runs: int, stated: float) -> None:
    """2000 experiments at once: the trailing axis."""
    samples = np.random.default_rng(runs).normal(size=(runs, 2000))
    low, high = m.bootstrap_interval(samples, resamples=1000)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(stated, abs=0.02)


def test_paired_differences_go_by_seed() -> None:
    assert m.paired_differences({3: 1.0, 1: 5.0}, {1: 2.0, 3: 4.0}).tolist() == [3, -3]
    with pytest.raises(BadArgument, match="without a partner: 2, 9"):
        m.paired_differences({1: 0.0, 2: 0.0}, {1: 0.0, 9: 0.0})
    with pytest.raises(BadArgument, match="no runs"):
        m.paired_differences({}, {})


def test_pair_correlation() -> None:
    assert m.pair_correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert m.pair_correlation([1, 2, 3], [0, 1, -1]) == pytest.approx(-0.5)
    assert math.isnan(m.pair_correlation([1, 2], [2, 1]))
    assert math.isnan(m.pair_correlation([1, 1, 1], [1, 2, 3]))
    with pytest.raises(BadArgument, match="shapes"):
        m.pair_correlation([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3], 2 / 8),  # sums 6, 4, 2, 0 and their negatives; only 6 and -6 are as far
        ([1, 2, -3], 1),  # a sum of 0 is the least extreme
        ([0.1, 0.2, -0.3], 1),  # the same, where the floats do not add up to 0
        ([1, 1, -1], 1),
        ([2, 3, -1], 4 / 8),  # sums 4, and 6 beyond it
        ([0.1] * 3 + [-0.1] * 3, 1),
        ([1] * 5, 2 / 32),
        ([-1] * 6, 2 / 64),
        ([0, 0, 0], 1),
        ([0, 0, 5], 1),
        ([5], 1),
    ],
)
def test_sign_flip_test_by_hand(differences: list[float], p: float) -> None:
    assert m.sign_flip_test(differences) == p


def test_sampled_sign_flip_test_agrees_with_the_exact_one() -> None:
    differences = np.random.default_rng(5).normal(0.4, size=12)
    exact = m.sign_flip_test(differences)
    sampled = m.sign_flip_test(differences, exact_up_to=0, resamples=50_000)
    assert 0.01 < exact < 0.5
    assert sampled == pytest.approx(exact, abs=0.01)


def test_sampled_sign_flip_test_is_never_zero() -> None:
    assert m.sign_flip_test([1.0] * 30, resamples=999) == 1 / 1000
    assert m.sign_flip_test([1.0, -1.0] * 15, resamples=999) == 1


def test_p_values_are_uniform_when_there_is_no_effect() -> None:
    samples = np.random.default_rng(3).normal(size=(1000, 9))
    p = np.array([m.sign_flip_test(sample) for sample in samples])
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        spread = math.sqrt(level * (1 - level) / len(p))
        assert np.mean(p <= level) == pytest.approx(level, abs=3 * spread + 1 / 2**9)


def test_sign_flip_test_finds_an_effect() -> None:
    samples = np.random.default_rng(4).normal(2, size=(100, 8))
    assert np.mean([m.sign_flip_test(sample) < 0.05 for sample in samples]) > 0.95


def test_sign_flip_arguments_are_checked() -> None:
    for wrong in ([], [np.nan], [[1.0]]):
        with pytest.raises(BadArgument, match="1-D"):
            m.sign_flip_test(wrong)
    with pytest.raises(BadArgument, match="at most 20"):
        m.sign_flip_test([1.0], exact_up_to=21)


def test_holm_by_hand() -> None:
    # Sorted: .005 * 4, .01 * 3, .03 * 2, and .04 * 1, which may not fall below the one before.
    assert m.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert m.holm([0.03]) == pytest.approx([0.03])
    assert m.holm([0.6, 0.7]).tolist() == [1, 1]
    assert m.holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert m.holm([]).tolist() == []
    for wrong in ([1.2], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(BadArgument, match="p-values"):
            m.holm(wrong)
