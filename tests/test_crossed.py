"""Student's t, and means over sources and seeds, against tables and values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltransfer import metrics as m
from rltransfer.errors import BadArgument

NAN = math.nan


# Student's t


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [  # any printed table
        (0.975, 1, 12.7062047),
        (0.975, 2, 4.30265273),
        (0.975, 4, 2.77644511),
        (0.975, 9, 2.26215716),
        (0.975, 30, 2.04227246),
        (0.975, 1e7, 1.95996422),
        (0.005, 4, -4.60409487),
        (0.9995, 10, 4.58689386),
        (0.5, 3, 0.0),
    ],
)
def test_t_quantiles_are_those_of_the_tables(p: float, df: float, t: float) -> None:
    assert m.t_quantile(p, df) == pytest.approx(t, rel=1e-7, abs=1e-12)


def test_t_has_closed_forms_at_one_and_two_degrees() -> None:
    t = np.array([-30.0, -2.0, 0.0, 0.3, 5.0, 1e4])
    assert m.t_cdf(t, 1) == pytest.approx(0.5 + np.arctan(t) / math.pi, abs=1e-13)
    assert m.t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * np.sqrt(2 + t**2)), abs=1e-13)


def test_t_quantile_inverts_the_distribution_at_broken_degrees_too() -> None:
    df = np.geomspace(1, 1e4, 50)
    for p in (0.001, 0.2, 0.6, 0.95, 0.9999):
        assert m.t_cdf(m.t_quantile(p, df), df) == pytest.approx(p, abs=1e-10)


def test_t_arguments_are_checked() -> None:
    for p in (0, 1, NAN):
        with pytest.raises(BadArgument, match=r"\(0, 1\)"):
            m.t_quantile(p, 3)
    for df in (0.5, NAN):
        with pytest.raises(BadArgument, match="1 or more"):
            m.t_quantile(0.9, df)
    with pytest.raises(BadArgument, match="2 pairs"):
        m.t_power(1, 1)


# Power


@pytest.mark.parametrize(
    ("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)]
)
def test_seeds_needed_are_those_of_power_tables(effect: float, seeds: int) -> None:
    """Cohen 1988 and G*Power 3: paired t test, two-sided 0.05, power 0.8."""
    assert m.t_power(effect, seeds) >= 0.8 > m.t_power(effect, seeds - 1)
    half = 1 / math.sqrt(2)  # two values with a standard deviation of 1
    assert m.seeds_needed([effect - half, effect + half]) == seeds
    assert m.seeds_needed([-effect - half, -effect + half]) == seeds


def test_power_agrees_with_simulation() -> None:
    d = np.random.default_rng(0).normal(0.9, 1, size=(20_000, 8))
    t = d.mean(axis=1) / (d.std(axis=1, ddof=1) / math.sqrt(8))
    found = np.mean(np.abs(t) > m.t_quantile(0.975, 7))
    assert m.t_power(0.9, 8) == pytest.approx(found, abs=0.01)
    assert m.t_power(0, 8) == pytest.approx(0.05)


def test_seeds_needed_at_the_limits() -> None:
    assert m.seeds_needed([1.0, -1.0]) == math.inf
    assert m.seeds_needed([0.0, 0.0]) == math.inf
    assert m.seeds_needed([2.0, 2.0, 2.0]) == 2
    assert math.isnan(m.seeds_needed([2.0]))
    for wrong in ([], [NAN], [[1.0]]):
        with pytest.raises(BadArgument, match="1-D"):
            m.seeds_needed(wrong)


# Means over sources and seeds


def test_one_source_gives_the_t_interval() -> None:
    # Mean 3, variance 2.5, standard error sqrt(0.5); t at 4 degrees is 2.776445.
    for table in ([1, 2, 3, 4, 5], [[5, 3, 1, NAN, 2, 4]]):
        mean = m.crossed_mean(table)
        assert mean == pytest.approx((3, 0, 1, 0.5, 4))
        assert mean.interval() == pytest.approx((3 - 1.963243, 3 + 1.963243), abs=1e-6)
    assert m.crossed_mean([0, 2]).interval(0.5) == pytest.approx((0, 2))  # t is 1


def test_two_sources_and_two_seeds_by_hand() -> None:
    # Rows average 1 and 5, columns 2 and 4; the additive fit leaves +-1 in every cell.
    mean = m.crossed_mean([[1, 1], [3, 7]])
    assert mean.value == 3
    assert mean.source_variance == pytest.approx(8 / 2)  # variance of the row means by 2
    # Variance of the column means by 2, less the residual variance 4 by the 4 runs.
    assert mean.seed_variance == pytest.approx(2 / 2 - 4 / 4)
    assert (mean.source_df, mean.seed_df) == (1, 1)
    assert mean.half() == pytest.approx(12.7062047 * 2)


def test_a_full_table_agrees_with_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4, 1)) + 2 * rng.normal(size=(1, 7)) + rng.normal(size=(4, 7))
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    error = np.sum(rest**2) / (3 * 6)
    mean = m.crossed_mean(table)
    assert mean.value == pytest.approx(table.mean())
    assert mean.source_variance == pytest.approx(table.mean(1).var(ddof=1) / 4)
    assert mean.seed_variance == pytest.approx(table.mean(0).var(ddof=1) / 7 - error / 28)
    assert (mean.source_df, mean.seed_df) == (3, 6)


def test_missing_runs_change_little_and_weigh_sources_equally() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(3, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(3, 30))
    holes = table.copy()
    holes[0, 3] = holes[2, [5, 9]] = NAN
    full, less = m.crossed_mean(table), m.crossed_mean(holes)
    assert less.value == pytest.approx(np.mean([np.nanmean(row) for row in holes]))
    assert less.source_variance == pytest.approx(full.source_variance, rel=0.2)
    assert less.seed_variance == pytest.approx(full.seed_variance, rel=0.2)


def test_sources_with_one_run_each_are_independent_runs() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    alone = m.crossed_mean(values).interval()
    assert m.crossed_mean(np.array(values)[:, None]).interval() == pytest.approx(alone)
    assert m.crossed_mean(np.diag(values) + np.where(np.eye(4), 0, NAN)).interval() == (
        pytest.approx(alone)
    )


def test_sources_that_share_no_seed_have_an_error_between_sources_alone() -> None:
    table = np.full((3, 6), NAN)
    for k, pair in enumerate([[1.0, 3.0], [4.0, 6.0], [8.0, 10.0]]):
        table[k, 2 * k : 2 * k + 2] = pair
    mean = m.crossed_mean(table)
    assert mean.value == pytest.approx((2 + 5 + 9) / 3)
    assert mean.source_variance == pytest.approx(np.var([2, 5, 9], ddof=1) / 3)
    assert mean.seed_variance == 0


def test_the_luck_of_a_source_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 10))
    same = m.crossed_mean(noise - noise.mean(axis=1, keepdims=True))
    apart = m.crossed_mean(noise + np.array([[-2.0], [0], [2]]))
    assert apart.half() > 4 * same.half()


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_order_shift_and_scale_of_the_table(sources: int) -> None:
    rng = np.random.default_rng(sources)
    table = rng.normal(size=(sources, 8))
    table[-1, 2] = NAN
    low, high = m.crossed_mean(table).interval()
    mixed = table[rng.permutation(sources)][:, rng.permutation(8)]
    assert m.crossed_mean(mixed).interval() == pytest.approx((low, high))
    assert m.crossed_mean(5 + 2 * table).interval() == pytest.approx((5 + 2 * low, 5 + 2 * high))
    assert m.crossed_mean(-table).interval() == pytest.approx((-high, -low))


def test_a_single_run_has_no_interval() -> None:
    assert m.crossed_mean([3.0]).value == 3
    assert np.isnan(m.crossed_mean([[3.0, NAN]]).interval()).all()


@pytest.mark.parametrize("table", [[], [[]], [[NAN, NAN], [1, 2]], [math.inf, 1], [[[1.0]]]])
def test_malformed_tables_are_refused(table: list) -> None:
    with pytest.raises(BadArgument, match="table"):
        m.crossed_mean(table)


def test_means_over_tasks_by_hand() -> None:
    one, two = m.crossed_mean([1, 2, 3, 4, 5]), m.crossed_mean([0, 2])
    both = m.mean_of_means([one, two])
    assert both.value == 2
    assert both.seed_variance == pytest.approx((0.5 + 1) / 4)
    assert both.seed_df == pytest.approx(1.5**2 / (0.5**2 / 4 + 1**2 / 1))
    weighted = m.mean_of_means([one, two], [3, 1])
    assert weighted.value == pytest.approx(0.75 * 3 + 0.25)
    assert weighted.seed_variance == pytest.approx((9 * 0.5 + 1) / 16)
    assert m.mean_of_means([one]).interval() == pytest.approx(one.interval())
    for means, weights in (([], None), ([one], [1, 2]), ([one], [0])):
        with pytest.raises(BadArgument, match="one weight"):
            m.mean_of_means(means, weights)


# Aggregates over tasks


def test_iqm_interval_is_about_the_iqm_and_ignores_the_spread_between_tasks() -> None:
    rng = np.random.default_rng(0)
    tasks = [np.array([level]) + rng.normal(0, 0.1, size=20) for level in (0.0, 10.0, 20.0)]
    low, high = m.iqm_interval(tasks)
    assert low < m.iqm(np.concatenate(tasks)) < high
    assert high - low < 0.2
    alone = m.iqm_interval([np.concatenate(tasks)])
    assert alone.high - alone.low > 20 * (high - low)


def test_iqm_interval_sees_sources_and_takes_missing_runs() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 12))
    near, far = noise - noise.mean(1, keepdims=True), noise + np.array([[-5.0], [0], [5]])
    far[1, 3] = NAN
    widths = [high - low for low, high in (m.iqm_interval([near]), m.iqm_interval([far]))]
    assert widths[1] > 4 * widths[0]
    low, high = m.iqm_interval([far + 1])
    assert (low, high) == pytest.approx(np.array(m.iqm_interval([far])) + 1)
    assert np.isnan(m.iqm_interval([[1.0], [2.0, 3.0]])).all()
    assert m.iqm_interval([[2.0] * 4]) == (2, 2)
    with pytest.raises(BadArgument, match="no tasks"):
        m.iqm_interval([])


def test_improvement_agrees_with_all_pairs_of_runs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.5, 1, size=(2, 3, 7)).round(1), rng.normal(size=(2, 7)).round(1)
    chance, (low, high) = m.improvement_interval(list(x), list(y))
    brute = np.mean([m.probability_of_improvement(a.ravel(), b) for a, b in zip(x, y, strict=True)])
    assert chance == pytest.approx(brute)
    assert 0 <= low < chance < high <= 1
    other = m.improvement_interval(list(-x), list(-y))
    assert (other[0], *other[1]) == pytest.approx((1 - chance, 1 - high, 1 - low))


def test_improvement_of_runs_that_all_win_is_not_certain() -> None:
    chance, (low, high) = m.improvement_interval([np.arange(10) + 5.0], [np.arange(10) / 10])
    assert (chance, high) == (1, pytest.approx(1))
    # Wilson's interval of 10 of 10, with t at 9 degrees for 1.96.
    assert low == pytest.approx(10 / (10 + 2.262157**2))
    with pytest.raises(BadArgument, match="3 seeds of X and 2"):
        m.improvement_interval([[1.0, 2.0, 3.0]], [[1.0, 2.0]])


def test_profile_interval_by_hand_and_by_brute_force() -> None:
    # 3 of 5 above 0.5: Wilson's interval, whose variance has n - 1 as the t interval does.
    share, (low, high) = m.profile_interval([[0.1, 0.2, 0.6, 0.7, 0.9]], [0.5])
    assert share.tolist() == [0.6]
    ratio = 2.776445**2 / 4
    middle = (0.6 + ratio / 2) / (1 + ratio)
    width = math.sqrt(ratio * 0.24 + ratio**2 / 4) / (1 + ratio)
    assert np.ravel([low, high]) == pytest.approx([middle - width, middle + width])
    rng = np.random.default_rng(0)
    tables, levels = [rng.normal(size=(2, 6)), rng.normal(size=9)], np.linspace(-3, 3, 13)
    share, (low, high) = m.profile_interval(tables, levels)
    everything = np.concatenate([table.ravel() for table in tables])
    assert share == pytest.approx([np.mean(everything > level) for level in levels])
    assert ((low >= 0) & (low <= share) & (share <= high) & (high <= 1)).all()


# Coverage


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import coverage_cases  # pyright: ignore[reportMissingImports]

    return coverage_cases


def test_experiments_have_the_means_that_they_state(cases: Any) -> None:
    rng = np.random.default_rng(0)
    for shape in cases.SHAPES:
        made = cases.draw(rng, shape, repetitions=20_000, seeds=5, sources=2, between=0.5)
        gains = made.x[:, 0] - made.y
        true = cases.truth(shape, between=0.5)
        assert gains.mean() == pytest.approx(true.gain, abs=0.02)
        assert np.mean(made.x > true.tau) == pytest.approx(true.share, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sources", "between", "low", "high"),
    [(1, 0, 0.93, 0.97), (2, 1, 0.93, 0.995), (3, 1, 0.93, 0.99)],
)
def test_normal_and_bounded_gains_are_covered(
    sources: int, between: float, low: float, high: float, cases: Any
) -> None:
    for shape in ("normal", "bounded"):
        rng = np.random.default_rng(7)
        layout = {"seeds": 10, "sources": sources, "between": between}
        made = cases.draw(rng, shape, repetitions=1500, **layout)
        true = cases.truth(shape, between=between)
        ends = np.array([m.crossed_mean(g).interval() for g in made.x[:, 0] - made.y])
        assert low <= np.mean((ends[:, 0] <= true.gain) & (true.gain <= ends[:, 1])) <= high
        found = [
            m.improvement_interval([x], [y])[1]
            for x, y in zip(made.x[:, 0], made.y[:, 0], strict=True)
        ]
        hits = [i.low <= true.improvement <= i.high for i in found]
        assert low <= np.mean(hits) <= 0.995
