"""From learning curves to numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rltransfer import metrics
from rltransfer.errors import BadArgument
from rltransfer.report.data import LONGER, SCRATCH, Arm, Comparison, Curve, scores_at
from rltransfer.report.knowledge import KNOWLEDGE_CONTROLS, judge
from rltransfer.report.pairing import Pairing, area_tables, pair
from rltransfer.report.summary import Estimate, Row, Summary, verdict
from rltransfer.report.threshold_times import CONSECUTIVE, few_evaluations, threshold_time

_UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def summarize(comparison: Comparison) -> Summary:
    """Compare every arm with scratch, paired by seed.

    With several source checkpoints, the gains are means over the sources of the means over the
    seeds, and their intervals speak of other sources and other seeds.

    Args:
        comparison: The learning curves. Runs without a partner are not used, which the notes then
            say.

    Returns:
        The numbers. They are the same for the same input.

    Raises:
        BadArgument: An arm has no seed in common with scratch.
    """
    notes = dict(comparison.notes)
    rows = {
        arm.recipe: _row(comparison, arm, _paired(comparison, arm, notes))
        for arm in _ordered(comparison)
    }
    for kind in ("method", "control"):
        rows |= _judged([row for row in rows.values() if row.kind == kind])
    if comparison.controls:
        rows |= {
            name: _with_knowledge(comparison, row)
            for name, row in rows.items()
            if row.kind == "method"
        }
    if len(comparison.sources) <= 1 and len(rows) > 1:
        notes["source"] = "one source agent: the results speak of this checkpoint only"
    return Summary(
        label=comparison.label,
        source=comparison.source,
        target=comparison.target,
        budget=comparison.budget,
        source_steps=comparison.source_steps,
        normalized=comparison.normalized,
        expect=comparison.expect,
        rows=tuple(rows.values()),
        notes=notes,
    )


def _ordered(c: Comparison) -> list[Arm]:
    return [c.arms[SCRATCH], *(c.arms[name] for name in c.transferred)]


def _paired(c: Comparison, arm: Arm, notes: dict[str, str]) -> Pairing:
    scratch = c.arms[SCRATCH]
    found = pair(arm, scratch)
    if not found.runs:
        raise BadArgument(
            f"{arm.recipe!r} has seeds {list(arm.seeds)} and scratch {list(scratch.seeds)}; run "
            "both with the same seeds"
        )
    if found.alone:
        notes[f"{arm.recipe} (seeds)"] = (
            f"seeds {', '.join(map(str, found.alone))} do not count: they are not in both it and "
            "scratch"
        )
    table = found.table(np.ones(len(found.runs)))
    if missing := int(np.isnan(table).sum()):
        notes[f"{arm.recipe} (runs)"] = (
            f"{missing} of {table.size} runs are missing: not every source has every seed"
        )
    if c.normalized and few_evaluations(c, found.runs):
        notes[f"{arm.recipe} (time to threshold)"] = (
            f"left out: a run has fewer than {CONSECUTIVE} evaluations"
        )
    return found


def _judged(rows: Sequence[Row]) -> dict[str, Row]:
    adjusted = metrics.holm([row.p for row in rows])
    return {
        row.recipe: replace(
            row, p_holm=float(p), verdict=verdict(row.gain, row.p, float(p), seeds=len(row.seeds))
        )
        for row, p in zip(rows, adjusted, strict=True)
    }


def _with_knowledge(c: Comparison, row: Row) -> Row:
    tables = {
        name: np.subtract(*area_tables(c, found))
        for name in KNOWLEDGE_CONTROLS
        if name in c.arms and (found := pair(c.arms[row.recipe], c.arms[name])).runs
    }
    return replace(row, knowledge=judge(row.verdict, tables))


def _row(c: Comparison, arm: Arm, paired: Pairing) -> Row:
    """One row; an arm that is its own control gives the row of scratch."""
    grid, baseline, nan = c.grid(), arm.kind == "baseline", math.nan
    scores, scratch = scores_at(paired.runs, grid), scores_at(paired.partners, grid)
    area, area_0 = metrics.auc(grid, scores), metrics.auc(grid, scratch)
    end, end_0 = final_scores(c, arm, paired.runs), metrics.asymptote(grid, scratch)
    by_seed = np.nanmean(paired.table(np.asarray(area - area_0)), axis=0)

    def estimate(differences: np.ndarray | np.float64) -> Estimate:
        return _UNKNOWN if baseline else _estimate(paired, differences)

    return Row(
        recipe=arm.recipe,
        kind=arm.kind,
        sources=paired.sources,
        seeds=paired.seeds,
        runs=len(paired.runs),
        auc=float(np.mean(area)),
        gain=estimate(area - area_0),
        p=nan if baseline else metrics.sign_flip_test(by_seed),
        p_holm=nan,
        correlation=nan if baseline else metrics.pair_correlation(area, area_0),
        negative=nan if baseline else metrics.negative_transfer_rate(area - area_0),
        jumpstart=estimate(metrics.jumpstart(grid, scores, scratch)),
        steps=_last_step(c, arm),
        asymptote=float(np.mean(end)),
        asymptote_gain=estimate(end - end_0),
        cost_gain=_cost_gain(c, arm),
        transfer_ratio=nan if baseline else _ratio(c, area, area_0),
        forward_transfer=nan if baseline else _forward(c, grid, scores, scratch),
        times=tuple(threshold_time(c, paired, level) for level in c.thresholds if c.normalized),
        verdict="baseline",
        seeds_needed=nan if baseline else metrics.seeds_needed(by_seed),
        knowledge=None,
    )


def _estimate(paired: Pairing, differences: np.ndarray | np.float64) -> Estimate:
    mean = metrics.crossed_mean(paired.table(np.asarray(differences)))
    return Estimate(mean.value, *map(float, mean.interval()))


def _last_step(c: Comparison, arm: Arm) -> int:
    """Step at which the training of an arm ends, as far as the comparison is concerned."""
    if arm.recipe != LONGER:
        return c.budget
    return max(c.budget, int(min(run.steps[-1] for run in arm.runs)))


def final_scores(c: Comparison, arm: Arm, runs: Sequence[Curve]) -> np.ndarray:
    """Mean scores over the last tenth of the training of an arm, one per run."""
    last = _last_step(c, arm)
    grid = np.unique(np.concatenate([c.grid(), *(run.steps for run in runs), [last]]))
    return np.asarray(metrics.asymptote(grid, scores_at(runs, grid), budget=last))


def _cost_gain(c: Comparison, arm: Arm) -> Estimate | None:
    if arm.kind != "method" or LONGER not in c.arms:
        return None
    paired = pair(arm, c.arms[LONGER])
    if not paired.runs:
        return None
    return _estimate(
        paired, final_scores(c, arm, paired.runs) - final_scores(c, c.arms[LONGER], paired.partners)
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
