"""The numbers that a comparison comes down to, and what they amount to in a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rltransfer import metrics
from rltransfer.errors import UnknownName, suggest
from rltransfer.report.data import Kind

Verdict = Literal[
    "baseline",
    "helped",
    "hurt",
    "likely helped",
    "likely hurt",
    "no clear difference",
    "too few seeds",
]

MIN_SEEDS = 5
"""Paired seeds below which nothing is claimed."""
ALPHA = 0.05
LIKELY = 2 / 2**MIN_SEEDS
"""Smallest p-value that the sign-flip test can give with the fewest seeds."""


class Estimate(NamedTuple):
    """A number with its 95 % interval, whose ends are ``nan`` for one seed."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ThresholdTime:
    """When an arm reached one threshold.

    Attributes:
        threshold: Fraction of the way from random to reference score.
        steps: Restricted mean time in environment steps, a lower bound if a run did not reach it;
            ``nan`` when it is not defined.
        median: Kaplan-Meier median in environment steps; ``inf`` when too few runs reached it.
        reached: Number of runs that reached it.
        runs: Number of runs.
        scratch_reached: Number of the partners from scratch that reached it, one for each run.
        speed_up: Restricted mean time of scratch over this one; ``nan`` if neither arm got there.
        saved: Restricted mean time of scratch minus this one, in environment steps.
        break_even: Targets after which the source has paid for itself; ``inf`` if nothing is saved,
            ``nan`` if neither arm got there.
    """

    threshold: float
    steps: float
    median: float
    reached: int
    runs: int
    scratch_reached: int
    speed_up: float
    saved: float
    break_even: float


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Whether a method beat the controls that carry no knowledge of the source task.

    Beating scratch alone shows that something about the start helped, such as the size of the
    weights; see :func:`rltransfer.report.knowledge.judge`.

    Attributes:
        claimed: Whether it may be said that knowledge was transferred: the method helped, and beat
            every one of the controls.
        beats: Controls that it beat.
        not_beaten: Controls that it did not clearly beat.
        untested: Controls that were not run with the same seeds.
    """

    claimed: bool
    beats: tuple[str, ...]
    not_beaten: tuple[str, ...]
    untested: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm against scratch, over the seeds that both have.

    With several source checkpoints, a run has the run from scratch with the same seed as partner,
    whatever its source. For scratch itself the comparisons are ``nan``. Metrics are those of
    :mod:`rltransfer.metrics`.

    Attributes:
        recipe: Name of the arm.
        kind: What it is for.
        sources: Names of the source checkpoints, where the runs name them.
        seeds: The paired seeds, each once.
        runs: Number of paired runs: sources times seeds, if none is missing.
        auc: Mean area under the learning curve, score units.
        gain: Paired difference in AUC to scratch: the primary metric.
        p: Sign-flip p-value of the gain, over target seeds; differences of one seed are averaged
            over the sources first. It speaks of other target seeds with these source checkpoints,
            not of other source checkpoints; the interval of ``gain`` does both.
        p_holm: The same, adjusted for the number of methods (or, for a control, of controls)
            compared with this scratch.
        correlation: Correlation of the paired AUCs.
        negative: Share of the runs with a loss.
        jumpstart: Paired difference at step 0.
        steps: Environment steps at which the final score was read: the budget, except for
            ``"scratch-longer"``.
        asymptote: Mean score over the last 10% of those.
        asymptote_gain: Paired difference of those to scratch at the budget.
        cost_gain: Paired difference of the final scores to those of ``"scratch-longer"``, which had
            the steps of the source as well; None where that was not run, and but for methods.
        transfer_ratio: Of the mean AUCs; ``nan`` unless normalized and not negative.
        forward_transfer: Of the mean AUCs, scores clipped to [0, 1]; ``nan`` unless normalized.
        times: One per threshold; empty unless normalized.
        verdict: One of the words of :data:`Verdict`; see :func:`verdict`.
        seeds_needed: Paired seeds with which a t test would find a gain of the observed size with
            probability 0.8; see :func:`rltransfer.metrics.seeds_needed`. ``inf`` without a gain,
            ``nan`` for scratch and for one seed.
        knowledge: For methods, where any control was run.
    """

    recipe: str
    kind: Kind
    sources: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: int
    auc: float
    gain: Estimate
    p: float
    p_holm: float
    correlation: float
    negative: float
    jumpstart: Estimate
    steps: int
    asymptote: float
    asymptote_gain: Estimate
    cost_gain: Estimate | None
    transfer_ratio: float
    forward_transfer: float
    times: tuple[ThresholdTime, ...]
    verdict: Verdict
    seeds_needed: float
    knowledge: Knowledge | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a comparison showed: plain numbers, one row per arm, scratch first.

    Attributes:
        label: Name of the comparison.
        source: The pretrained agent, or its task.
        target: Task id.
        budget: Environment steps on the target.
        source_steps: Environment steps spent on the source agent.
        normalized: Whether the scores are normalized.
        expect: What transfer should do, if that was said.
        rows: One per arm.
        notes: Heading to one line each, including what was left out and why.
        metrics_version: Version of the definitions.
    """

    label: str
    source: str
    target: str
    budget: int
    source_steps: int
    normalized: bool
    expect: Literal["help", "hurt"] | None
    rows: tuple[Row, ...]
    notes: Mapping[str, str]
    metrics_version: int = metrics.METRICS_VERSION

    def __getitem__(self, recipe: str) -> Row:
        """Row of a recipe.

        Raises:
            UnknownName: There is none of that name.
        """
        for row in self.rows:
            if row.recipe == recipe:
                return row
        raise UnknownName(suggest(recipe, [row.recipe for row in self.rows], kind="recipe"))

    @property
    def transferred(self) -> tuple[Row, ...]:
        """The rows other than scratch."""
        return tuple(row for row in self.rows if row.kind != "baseline")

    @property
    def methods(self) -> tuple[Row, ...]:
        """The rows of ways to transfer."""
        return tuple(row for row in self.rows if row.kind == "method")

    @property
    def controls(self) -> tuple[Row, ...]:
        """The rows of controls other than scratch."""
        return tuple(row for row in self.rows if row.kind == "control")


def verdict(gain: Estimate, p: float, p_holm: float, seeds: int) -> Verdict:
    """Say in a word what the gain in AUC over scratch amounts to.

    - ``too few seeds`` below 5 paired seeds, whatever the numbers: the sign-flip test cannot give
      less than 0.125, and a spread over so few is hardly known.
    - ``helped`` / ``hurt``: the 95% interval of the gain excludes 0 and its sign-flip p-value,
      adjusted by Holm's method for the methods compared with the same scratch, is below 0.05.
      That takes at least 6 seeds for one recipe, 7 for two or three and 8 for four.
    - ``likely helped`` / ``likely hurt``: the interval excludes 0 and the unadjusted p-value is at
      most 0.0625, which 5 seeds give when all of them agree in sign.
    - ``no clear difference`` otherwise, which does not show that there is none.

    Args:
        gain: Paired difference in AUC with its interval.
        p: Sign-flip p-value.
        p_holm: The same, adjusted.
        seeds: Number of paired seeds.

    Returns:
        The word.
    """
    if seeds < MIN_SEEDS:
        return "too few seeds"
    if not (gain.low > 0 or gain.high < 0):
        return "no clear difference"
    if p_holm < ALPHA:
        return "helped" if gain.mean > 0 else "hurt"
    if p <= LIKELY:
        return "likely helped" if gain.mean > 0 else "likely hurt"
    return "no clear difference"
