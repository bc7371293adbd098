"""Several sources, controls and many pairs, on learning curves whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rltransfer import metrics, report
from rltransfer.errors import BadArgument
from rltransfer.report.knowledge import judge

STEPS = np.array([0, 10, 20, 40])
CONTROLS = report.KNOWLEDGE_CONTROLS


def flat(recipe: str, levels: Mapping[tuple[str, int], float], kind: Any = "method") -> report.Arm:
    """Runs that stay at one level, by source and seed."""
    runs = [
        report.Curve(source=source, seed=seed, steps=STEPS, scores=np.full(4, level))
        for (source, seed), level in levels.items()
    ]
    return report.Arm(recipe=recipe, runs=runs, kind=kind)


def table(recipe: str, values: Any, kind: Any = "method") -> report.Arm:
    """Runs by row (sources a, b, ...) and column (seeds 0, 1, ...)."""
    levels = {("abcdef"[k], s): v for k, row in enumerate(values) for s, v in enumerate(row)}
    return flat(recipe, levels, kind)


def shared(recipe: str, values: Any, kind: Any = "method") -> report.Arm:
    """Runs that name no source."""
    return flat(recipe, {("", seed): value for seed, value in enumerate(values)}, kind)


def compare(*arms: report.Arm, **fields: object) -> report.Comparison:
    given = {
        "label": "pair",
        "source": "a",
        "target": "my/Target-v0",
        "budget": 40,
        "source_steps": 80,
        "arms": {arm.recipe: arm for arm in arms},
    }
    return report.Comparison(**{**given, **fields})  # pyright: ignore[reportArgumentType]


# Several sources


def test_every_source_is_paired_with_the_same_run_from_scratch() -> None:
    scratch = shared("scratch", [0.1, 0.2, 0.6])
    full = table("full", [[0.3, 0.5, 0.4], [0.5, 0.9, 0.6]])
    row = report.summarize(compare(scratch, full))["full"]
    differences = [[0.2, 0.3, -0.2], [0.4, 0.7, 0.0]]
    assert (row.sources, row.seeds, row.runs) == (("a", "b"), (0, 1, 2), 6)
    assert row.gain.mean == pytest.approx(np.mean(differences))
    expected = metrics.crossed_mean(differences).interval()
    assert row.gain[1:] == pytest.approx(tuple(expected))
    # Averaged over the sources: 0.3, 0.5, -0.1.
    assert row.p == metrics.sign_flip_test([0.3, 0.5, -0.1]) == 0.5
    assert row.seeds_needed == metrics.seeds_needed([0.3, 0.5, -0.1])
    assert row.negative == pytest.approx(1 / 6)
    assert row.correlation == pytest.approx(
        np.corrcoef([0.3, 0.5, 0.4, 0.5, 0.9, 0.6], [0.1, 0.2, 0.6] * 2)[0, 1]
    )
    half = row.times[1]
    assert (half.reached, half.runs, half.scratch_reached) == (4, 6, 2)


def test_missing_runs_and_seeds_are_said() -> None:
    scratch = shared("scratch", [0.1, 0.2, 0.3, 0.4])
    full = flat("full", {("a", 0): 0.5, ("a", 1): 0.5, ("b", 0): 0.5, ("b", 9): 0.5})
    found = report.summarize(compare(scratch, full))
    assert found["full"].runs == 3
    assert found["full"].gain.mean == pytest.approx((0.35 + 0.4) / 2)
    assert found.notes["full (seeds)"].startswith("seeds 2, 3, 9 do not count")
    assert found.notes["full (runs)"].startswith("1 of 4 runs are missing")


def test_one_source_speaks_of_itself_only() -> None:
    scratch = shared("scratch", [0.1, 0.2])
    for arm in (shared("full", [0.2, 0.3]), table("full", [[0.2, 0.3]])):
        notes = report.summarize(compare(scratch, arm)).notes
        assert notes["source"].endswith("this checkpoint only")
    several = report.summarize(compare(scratch, table("full", [[0.2, 0.3], [0.2, 0.3]])))
    assert "source" not in several.notes


def test_sources_that_disagree_widen_the_interval_but_not_the_p_value() -> None:
    rng = np.random.default_rng(0)
    scratch, noise = rng.normal(0.4, 0.01, 8), rng.normal(0, 0.01, (2, 8))
    agree = table("agree", 0.2 + noise + scratch)
    apart = table("apart", np.array([[0.05], [0.35]]) + noise + scratch)
    found = report.summarize(compare(shared("scratch", scratch), agree, apart))
    assert found["agree"].verdict == "helped"
    assert found["apart"].p == found["agree"].p == 2 / 2**8
    assert found["apart"].verdict == "no clear difference"


def test_the_order_of_runs_and_sources_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    scratch = shared("scratch", rng.normal(size=6))
    full = table("full", rng.normal(size=(3, 6)))
    permuted = table("permuted", rng.normal(size=(3, 6)), "control")
    mixed = [
        replace(arm, runs=[arm.runs[i] for i in rng.permutation(len(arm.runs))])
        for arm in (scratch, full, permuted)
    ]
    one, two = compare(scratch, full, permuted), compare(*mixed)
    assert str(report.summarize(one)) == str(report.summarize(two))
    assert str(report.overall([one])) == str(report.overall([two]))


def test_each_source_and_seed_counts_once_and_scratch_has_no_source() -> None:
    runs = table("full", [[1, 2]]).runs
    with pytest.raises(BadArgument, match="seed 0 from a, seed 1 from a, seed 0 from a"):
        report.Arm(recipe="full", runs=[*runs, runs[0]])
    with pytest.raises(BadArgument, match="leave their source empty"):
        compare(table("scratch", [[1, 2]]))
    with pytest.raises(BadArgument, match="kind 'other'"):
        table("full", [[1]], "other")
    assert shared("scratch", [1]).kind == "baseline"


# Controls


def knowledge(levels: Mapping[str, float], seeds: int = 10) -> report.Knowledge:
    """Of a method that gains 0.3, against controls that gain so much."""
    rng = np.random.default_rng(0)

    def runs(gain: float) -> np.ndarray:
        return 0.2 + gain + rng.normal(0, 0.01, (3, seeds))

    arms = [shared("scratch", runs(0.0)[0]), table("full", runs(0.3))]
    for name, gain in levels.items():
        one = name == "unrelated"
        arms.append(
            shared(name, runs(gain)[0], "control") if one else table(name, runs(gain), "control")
        )
    found = report.summarize(compare(*arms))["full"].knowledge
    assert found is not None
    return found


def test_knowledge_is_claimed_when_every_control_is_beaten() -> None:
    found = knowledge(dict.fromkeys(CONTROLS, 0.1))
    assert found == report.Knowledge(claimed=True, beats=CONTROLS, not_beaten=(), untested=())


def test_one_control_that_does_as_well_or_was_not_run_prevents_the_claim() -> None:
    found = knowledge({**dict.fromkeys(CONTROLS, 0.1), "permuted": 0.3, "reset-heads": 0.5})
    assert (found.claimed, found.not_beaten) == (False, ("permuted", "reset-heads"))
    assert found.beats == ("random-frozen", "unrelated")
    found = knowledge(dict.fromkeys(CONTROLS[1:], 0.1))
    assert (found.claimed, found.untested) == (False, ("permuted",))
    found = knowledge({"zero-shot": 0.0})
    assert (found.claimed, found.untested) == (False, CONTROLS)


@pytest.mark.parametrize(("seeds", "claimed"), [(7, False), (8, True)])
def test_seeds_that_a_claim_takes(seeds: int, claimed: bool) -> None:
    # Four tests by Holm's method: 4 * 2 / 2^7 is above 0.05.
    assert knowledge(dict.fromkeys(CONTROLS, 0.1), seeds).claimed == claimed


def test_a_method_that_hurts_claims_nothing_though_it_beats_controls() -> None:
    tables = dict.fromkeys(CONTROLS, np.full((2, 10), 0.3) + np.arange(10) / 100)
    assert judge("helped", tables).claimed
    assert not judge("likely helped", tables).claimed
    losing = {name: -values for name, values in tables.items()}
    assert judge("helped", losing).beats == ()


def test_controls_do_not_cost_methods_their_p_values() -> None:
    rng = np.random.default_rng(0)
    arms = [shared("scratch", rng.normal(0, 0.01, 6)), shared("full", rng.normal(1, 0.01, 6))]
    alone = report.summarize(compare(*arms))["full"]
    controls = [shared(name, rng.normal(0, 0.01, 6), "control") for name in CONTROLS]
    found = report.summarize(compare(*arms, *controls))
    assert found["full"].p_holm == alone.p_holm == alone.p
    assert alone.knowledge is None
    assert [row.recipe for row in found.methods] == ["full"]
    assert [row.recipe for row in found.controls] == list(CONTROLS)
    assert found["permuted"].knowledge is None


def test_zero_shot_has_two_evaluations() -> None:
    still = report.Arm(
        recipe="zero-shot",
        runs=[
            report.Curve(seed=s, steps=np.array([0, 40]), scores=np.full(2, 0.5)) for s in (0, 1)
        ],
        kind="control",
    )
    found = report.summarize(compare(shared("scratch", [0.1, 0.3]), still))
    assert found["zero-shot"].gain.mean == pytest.approx(0.3)
    assert math.isnan(found["zero-shot"].times[0].steps)
    assert "fewer than 3" in found.notes["zero-shot (time to threshold)"]
    assert not math.isnan(found["scratch"].times[0].steps)


def test_scratch_longer_is_read_at_its_own_end() -> None:
    # 0 up to step 40 and then straight up to 1 at step 120: the last tenth averages 0.925.
    longer = report.Arm(
        recipe="scratch-longer",
        runs=[
            report.Curve(seed=s, steps=np.array([0, 40, 120]), scores=np.array([0.0, 0, 1]))
            for s in (0, 1)
        ],
        kind="control",
    )
    scratch, full = shared("scratch", [0.0, 0.0]), table("full", [[0.5, 0.7], [0.5, 0.7]])
    found = report.summarize(compare(scratch, full, longer))
    row = found["scratch-longer"]
    assert (row.steps, found["full"].steps) == (120, 40)
    assert row.auc == 0
    assert row.asymptote == pytest.approx(0.925)
    assert row.asymptote_gain.mean == pytest.approx(0.925)
    cost = found["full"].cost_gain
    assert cost is not None
    assert cost.mean == pytest.approx(0.6 - 0.925)
    assert row.cost_gain is None
    assert report.summarize(compare(scratch, full))["full"].cost_gain is None


# Many pairs


def pair_of(
    label: str, scratch: Sequence[float], full: Sequence[Sequence[float]], **fields: object
):
    return compare(shared("scratch", scratch), table("full", full), label=label, **fields)


ONE = pair_of("one", [0.1, 0.2, 0.3], [[0.5, 0.1, 0.4], [0.6, 0.3, 0.5]])
TWO = pair_of("two", [0.5, 0.6, 0.8], [[0.9, 0.7, 0.7], [0.8, 0.7, 0.8]])


def test_overall_by_hand() -> None:
    found = report.overall([ONE, TWO])
    scratch, full = found.recipes
    assert found.pairs == ("one", "two")
    assert (scratch.recipe, scratch.kind, full.kind) == ("scratch", "baseline", "method")
    assert (full.pairs, full.runs, scratch.runs) == (2, 12, 6)
    gains = [[[0.4, -0.1, 0.1], [0.5, 0.1, 0.2]], [[0.4, 0.1, -0.1], [0.3, 0.1, 0.0]]]
    assert full.gain.mean == pytest.approx(np.mean(gains))
    means = metrics.mean_of_means([metrics.crossed_mean(g) for g in gains])
    assert full.gain[1:] == pytest.approx(tuple(means.interval()))
    assert full.negative == pytest.approx(2 / 12)
    assert full.worst_decile == pytest.approx(-0.1)
    assert full.p == 0.5  # two pairs that agree in sign
    # The middle six of 0.1 0.3 0.4 0.5 0.5 0.6 0.7 0.7 0.7 0.8 0.8 0.9.
    assert full.iqm.mean == pytest.approx((0.5 + 0.5 + 0.6 + 3 * 0.7) / 6)
    assert full.final_iqm == pytest.approx(full.iqm)
    # Wins of 18 pairs of runs each: 16 and a tie twice on one, 14 and ties on two.
    brute = [
        np.mean([np.sign(x - y) / 2 + 0.5 for row in c.arms["full"].runs for x in [row.scores[0]]
                 for y in [run.scores[0] for run in c.arms["scratch"].runs]])
        for c in (ONE, TWO)
    ]  # fmt: skip
    assert full.improvement.mean == pytest.approx(np.mean(brute))
    assert (full.helped, full.hurt, full.unclear) == ((), (), ("one", "two"))
    assert (scratch.unclear, math.isnan(scratch.p), math.isnan(scratch.gain.mean)) == ((), 1, 1)


def test_profiles_agree_with_counting() -> None:
    found = report.overall([ONE, TWO])
    areas = [run.scores[0] for c in (ONE, TWO) for run in c.arms["full"].runs]
    counted = [np.mean(np.array(areas) > tau) for tau in found.thresholds]
    full = found.recipes[1]
    assert full.profile == pytest.approx(counted)
    assert (found.thresholds[0], found.thresholds[-1]) == (0, 1)
    assert (full.profile_low <= full.profile).all()
    assert (full.profile_high >= full.profile).all()


def test_shifting_all_scores_shifts_means_and_leaves_comparisons() -> None:
    def shifted(c: report.Comparison) -> report.Comparison:
        arms = {
            name: replace(arm, runs=[replace(run, scores=run.scores + 0.25) for run in arm.runs])
            for name, arm in c.arms.items()
        }
        return replace(c, arms=arms)

    before = report.overall([ONE, TWO]).recipes[1]
    after = report.overall([shifted(ONE), shifted(TWO)]).recipes[1]
    for name in ("iqm", "final_iqm"):
        assert getattr(after, name) == pytest.approx(np.array(getattr(before, name)) + 0.25)
    for name in ("gain", "improvement", "negative", "worst_decile", "p"):
        assert getattr(after, name) == pytest.approx(getattr(before, name))


def test_negative_controls_and_returns_are_kept_apart() -> None:
    hurt = pair_of("three", [0.5] * 3, [[0.1] * 3], expect="hurt")
    returns = replace(ONE, label="four", normalized=False)
    everything = [ONE, hurt, returns, TWO]
    assert report.overall(everything).pairs == ("one", "two")
    assert "four" in report.overall(everything).notes["left out"]
    assert report.overall(everything, expect="hurt").pairs == ("three",)
    assert report.overall(everything, expect=None).pairs == ("one", "three", "two")
    assert report.overall([returns]).recipes == ()
    with pytest.raises(BadArgument, match="1 summaries of 2"):
        report.overall([ONE, TWO], [report.summarize(ONE)])
    with pytest.raises(BadArgument, match="expect is 'maybe'"):
        report.overall([ONE], expect="maybe")  # pyright: ignore[reportArgumentType]


def test_recipes_of_some_pairs_only_are_said_and_adjusted_apart_from_controls() -> None:
    pairs = []
    rng = np.random.default_rng(0)
    for i in range(6):
        scratch = rng.normal(0.3, 0.01, 8)
        arms = [shared("scratch", scratch), shared("full", scratch + 0.2 + rng.normal(0, 0.01, 8))]
        arms.append(shared("permuted", scratch - 0.1 + rng.normal(0, 0.01, 8), "control"))
        if i:
            arms.append(shared("head", scratch - 0.2 + rng.normal(0, 0.01, 8)))
        pairs.append(compare(*arms, label=str(i)))
    found = report.overall(pairs)
    _, full, permuted, head = found.recipes
    assert (full.p, full.p_holm, head.p, head.p_holm) == (2 / 64, 4 / 64, 2 / 32, 2 / 32)
    assert permuted.p_holm == permuted.p == 2 / 64
    assert full.helped == found.pairs
    assert head.hurt == found.pairs[1:]
    assert found.notes["head"].startswith("run on 5 of 6 pairs")
    assert "full" not in found.notes
