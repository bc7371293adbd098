"""Curve metrics against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rltransfer import metrics as m
from rltransfer.errors import BadArgument

STEPS = [0, 10, 20, 40]


def test_on_grid_interpolates_each_run_linearly() -> None:
    runs = [[0.0, 1.0, 1.0, 3.0], [1.0, 1.0, 0.0, 0.0]]
    assert m.on_grid(STEPS, runs[0], [0, 5, 10, 30, 40]).tolist() == [0, 0.5, 1, 2, 3]
    assert m.on_grid(STEPS, runs, [5, 15]).tolist() == [[0.5, 1], [1, 0.5]]


def test_on_grid_holds_the_last_score_only_when_told_to() -> None:
    with pytest.raises(BadArgument, match="hold=True"):
        m.on_grid(STEPS, [0, 1, 2, 3], [40.5])
    assert m.on_grid(STEPS, [0, 1, 2, 3], [40, 50], hold=True).tolist() == [3, 3]
    with pytest.raises(BadArgument, match=">= 0"):
        m.on_grid(STEPS, [0, 1, 2, 3], [-1], hold=True)


@pytest.mark.parametrize(
    ("steps", "scores", "message"),
    [
        ([], [], "n >= 1"),
        ([[0, 1]], [0, 1], r"expected \(n,\)"),
        ([0, 1], [0, 1, 2], r"expected \(2,\)"),
        ([0, 1], [[[0, 1]]], r"expected \(2,\)"),
        ([0, 1], np.empty((0, 2)), r"expected \(2,\)"),
        ([0, 1], [0, np.nan], "finite"),
        ([0, np.inf], [0, 1], "finite"),
        ([1, 2], [0, 1], "step 0"),
        ([0, 2, 2], [0, 1, 2], "increasing"),
        ([0, 3, 2], [0, 1, 2], "increasing"),
    ],
)
def test_malformed_curves_are_refused(steps: list, scores: list, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        m.auc(steps, scores)


def test_jumpstart_is_the_difference_before_training() -> None:
    assert m.jumpstart(STEPS, [5, 9, 9, 9], [2, 9, 9, 0]) == 3
    pairs = m.jumpstart([0, 1], [[1.0, 0], [2, 0]], [[0.5, 7], [3, 7]])
    assert pairs.tolist() == [0.5, -1]
    with pytest.raises(BadArgument, match="not paired"):
        m.jumpstart([0, 1], [[1, 0], [2, 0]], [1, 0])


def test_asymptote_is_the_time_average_over_the_last_tenth() -> None:
    # From step 36 to 40 the score rises from 2.6 to 3, on average 2.8.
    assert m.asymptote(STEPS, [0, 1, 1, 3]) == pytest.approx(2.8)
    # The budget cuts at 20; from 18 to 20 the score is flat.
    assert m.asymptote(STEPS, [0, 1, 1, 3], budget=20) == pytest.approx(1)
    # Half of 40: from 20 to 40 the mean of 1 and 3.
    assert m.asymptote(STEPS, [[0, 1, 1, 3], [0, 0, 0, 0]], fraction=0.5).tolist() == [2, 0]
    with pytest.raises(BadArgument, match="fraction"):
        m.asymptote(STEPS, [0, 1, 1, 3], fraction=0)


def test_auc_is_the_mean_score_over_the_budget() -> None:
    # Trapezoids 5 + 10 + 40 over 40 steps.
    assert m.auc(STEPS, [0, 1, 1, 3]) == pytest.approx(55 / 40)
    # Up to step 30, where the score is 2: 5 + 10 + 15.
    assert m.auc(STEPS, [0, 1, 1, 3], budget=30) == pytest.approx(1)
    assert m.auc(STEPS, [[0, 1, 1, 3], [2, 2, 2, 2]]) == pytest.approx([55 / 40, 2])


def test_auc_does_not_depend_on_how_a_straight_line_is_sampled() -> None:
    assert m.auc([0, 8], [1, 5]) == m.auc([0, 1, 7, 8], [1, 1.5, 4.5, 5]) == 3


def test_auc_refuses_a_budget_beyond_the_curve_or_of_nothing() -> None:
    with pytest.raises(BadArgument, match="last evaluation is at 40"):
        m.auc(STEPS, [0, 1, 1, 3], budget=41)
    with pytest.raises(BadArgument, match="more than 0"):
        m.auc([0], [1])


def test_transfer_ratio() -> None:
    assert m.transfer_ratio(0.6, 0.4) == pytest.approx(0.5)
    assert m.transfer_ratio(0.3, 0.4) == pytest.approx(-0.25)
    assert m.transfer_ratio(0.3, 0) == math.inf
    assert math.isnan(m.transfer_ratio(0, 0))


@pytest.mark.parametrize("areas", [(-0.1, 0.5), (0.5, -200), (math.nan, 0.5), (0.5, math.inf)])
def test_transfer_ratio_refuses_scores_without_a_zero(areas: tuple[float, float]) -> None:
    with pytest.raises(BadArgument, match="normalize"):
        m.transfer_ratio(*areas)


def test_forward_transfer_guards_its_denominator() -> None:
    assert m.forward_transfer(0.7, 0.4) == pytest.approx(0.5)
    assert m.forward_transfer(1, 0.5) == 1
    assert m.forward_transfer(0, 0.5) == -1
    assert m.forward_transfer(0.5, 0.98) == pytest.approx(-24)
    assert math.isnan(m.forward_transfer(1, 0.99))
    assert math.isnan(m.forward_transfer(1, 1))
    with pytest.raises(BadArgument, match=r"\[0, 1\]"):
        m.forward_transfer(1.1, 0.5)
    with pytest.raises(BadArgument, match=r"\[0, 1\]"):
        m.forward_transfer(0.5, -0.1)


def test_break_even() -> None:
    assert m.break_even(100_000, 40_000) == 2.5
    assert m.break_even(0, 10) == 0
    assert m.break_even(100, 0) == m.break_even(100, -5) == m.break_even(0, 0) == math.inf
    with pytest.raises(BadArgument, match="source cost"):
        m.break_even(-1, 5)
    with pytest.raises(BadArgument, match="finite"):
        m.break_even(1, math.nan)


def test_negative_transfer_rate_and_worst_decile() -> None:
    assert m.negative_transfer_rate([-1, 0, 2, -0.5]) == 0.5
    assert m.negative_transfer_rate([[0.0, 0], [0, 0]]) == 0
    assert m.worst_decile([3, -1, 2]) == -1
    assert m.worst_decile(np.arange(11)) == 0.5  # ceil(1.1) = 2 of them
    with pytest.raises(BadArgument, match="non-empty"):
        m.negative_transfer_rate([])


def test_forgetting() -> None:
    assert m.forgetting([0.9, 0.5], [0.6, 0.7]) == pytest.approx([0.3, -0.2])
    with pytest.raises(BadArgument, match="shapes"):
        m.forgetting([0.9, 0.5], [0.6])


LUCKY = [0, 0.6, 0.4, 0.5, 0.7, 0.8]


@pytest.mark.parametrize(
    ("scores", "consecutive", "time", "reached"),
    [
        (LUCKY, 3, 30, True),  # the first of three in a row; 0.5 is a tie and counts
        (LUCKY, 1, 10, True),
        (LUCKY, 4, 50, False),
        ([0, 0, 0, 0, 0.9, 0.9], 3, 50, False),  # not confirmed before the end
        ([0, 0, 0, 0.5, 0.5, 0.5], 3, 30, True),
        ([0.5] * 6, 3, 0, True),
        ([0.4] * 6, 3, 50, False),
        ([0.9, 0.9, 0.9, 0, 0, 0], 3, 0, True),  # later losses do not undo it
    ],
)
def test_time_to_threshold(scores: list, consecutive: int, time: float, reached: bool) -> None:
    found = m.time_to_threshold(range(0, 60, 10), scores, 0.5, consecutive=consecutive)
    assert (float(found.time), bool(found.reached)) == (time, reached)


def test_time_to_threshold_of_several_runs_within_a_budget() -> None:
    found = m.time_to_threshold(range(0, 60, 10), [LUCKY, [1] * 6], 0.5, budget=45)
    assert found.time.tolist() == [45, 0]
    assert found.reached.tolist() == [False, True]
    assert m.time_to_threshold([0], [1], 0.5, consecutive=1).time == 0


def test_time_to_threshold_needs_enough_evaluations() -> None:
    with pytest.raises(BadArgument, match="2 within the 10 steps"):
        m.time_to_threshold([0, 10, 20], [1, 1, 1], 0.5, budget=10)
    with pytest.raises(BadArgument, match="0 evaluations in a row"):
        m.time_to_threshold([0, 10, 20], [1, 1, 1], 0.5, consecutive=0)


def censored(*times: float | str) -> m.Censored:
    """Times, with a ``+`` after those that are censored: 3, "5+"."""
    text = [str(time) for time in times]
    return m.Censored(
        np.array([float(t.rstrip("+")) for t in text]),
        np.array([not t.endswith("+") for t in text]),
    )


def test_restricted_mean_counts_censored_runs_with_the_budget() -> None:
    assert m.restricted_mean_time(censored(10, 20, "60+"), 60) == 30
    assert m.restricted_mean_time(censored(10, 90, "90+"), 60) == pytest.approx(130 / 3)
    assert m.restricted_mean_time(censored("60+", "60+"), 60) == 60
    assert m.restricted_mean_time(m.Censored(np.array(7.0), np.array(True)), 60) == 7
    with pytest.raises(BadArgument, match="watched for 50"):
        m.restricted_mean_time(censored(10, "50+"), 60)
    with pytest.raises(BadArgument, match="at least one"):
        m.restricted_mean_time(censored(), 60)


def test_median_time_is_that_of_kaplan_and_meier() -> None:
    # S(3) = 4/5, S(5) = 4/5 * 3/4 = 3/5, S(8) = 3/5 * 1/2 = 3/10.
    assert m.median_time(censored(3, 5, "5+", 8, "10+")) == 8
    # Without censoring before the end: the time of the 5th of 10.
    assert m.median_time(censored(1, 2, 3, 4, 5, *["9+"] * 5)) == 5
    assert m.median_time(censored(1, 2, 3, 4, *["9+"] * 6)) == math.inf
    assert m.median_time(censored(4)) == 4
    assert m.median_time(censored(7, 7, 7)) == 7
    assert m.median_time(censored("9+")) == math.inf
    # Dropping the censored run would say 2.
    assert m.median_time(censored("1+", 2, 6, 6)) == 6


def test_speed_up() -> None:
    assert m.speed_up(10, 40) == 4
    assert m.speed_up(40, 10) == 0.25
    assert m.speed_up(0, 10) == math.inf
    assert m.speed_up(10, 0) == 0
    assert m.speed_up(0, 0) == 1
    with pytest.raises(BadArgument, match="finite"):
        m.speed_up(1, math.inf)


def test_metrics_import_nothing_but_numpy_the_standard_library_and_the_errors() -> None:
    import ast
    from pathlib import Path

    roots = set()
    for path in Path(m.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add(node.module or "")
    foreign = {r for r in roots if r.split(".")[0] not in ("numpy", "rltransfer")}
    assert foreign <= {
        *(
            "__future__",
            "collections.abc",
            "functools",
            "itertools",
            "math",
            "statistics",
            "typing",
        ),
    }
    own = {r for r in roots if r.startswith("rltransfer")}
    assert all(r == "rltransfer.errors" or r.startswith("rltransfer.metrics") for r in own)
