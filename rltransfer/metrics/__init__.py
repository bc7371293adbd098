"""What transfer gained, as numbers: learning-curve metrics and the statistics that guard them.

Learning curves are two arrays: ``steps`` of shape ``(n,)``, environment steps on the target task,
increasing from 0, and ``scores`` of shape ``(n,)`` or ``(runs, n)``, the mean evaluation score at
those steps. Step 0 is the agent before its first update on the target. A reduction of a curve drops
the last axis: one number for ``(n,)``, an array ``(runs,)`` for ``(runs, n)``.

Only numpy is needed. Everything random takes a seed and gives the same answer for the same seed.
"""

from __future__ import annotations

from rltransfer.metrics.aggregate_intervals import (
    improvement_interval,
    iqm_interval,
    profile_interval,
)
from rltransfer.metrics.aggregates import (
    iqm,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from rltransfer.metrics.crossed import Mean, crossed_mean, mean_of_means
from rltransfer.metrics.curves import asymptote, auc, check_curve, jumpstart, on_grid
from rltransfer.metrics.gains import (
    break_even,
    forgetting,
    forward_transfer,
    negative_transfer_rate,
    transfer_ratio,
    worst_decile,
)
from rltransfer.metrics.intervals import (
    Interval,
    Statistic,
    bootstrap_interval,
)
from rltransfer.metrics.paired import holm, pair_correlation, paired_differences, sign_flip_test
from rltransfer.metrics.ranks import kendall, rank_interval, rank_test, spearman
from rltransfer.metrics.student import seeds_needed, t_cdf, t_power, t_quantile
from rltransfer.metrics.times import (
    Censored,
    median_time,
    restricted_mean_time,
    speed_up,
    time_to_threshold,
)

METRICS_VERSION = 2
"""Version of the definitions: it goes up when a metric would give another number."""

__all__ = [
    "METRICS_VERSION",
    "Censored",
    "Interval",
    "Mean",
    "Statistic",
    "asymptote",
    "auc",
    "bootstrap_interval",
    "break_even",
    "check_curve",
    "crossed_mean",
    "forgetting",
    "forward_transfer",
    "holm",
    "improvement_interval",
    "iqm",
    "iqm_interval",
    "jumpstart",
    "kendall",
    "mean_of_means",
    "median_time",
    "negative_transfer_rate",
    "on_grid",
    "optimality_gap",
    "pair_correlation",
    "paired_differences",
    "performance_profile",
    "probability_of_improvement",
    "profile_interval",
    "rank_interval",
    "rank_test",
    "restricted_mean_time",
    "seeds_needed",
    "sign_flip_test",
    "spearman",
    "speed_up",
    "t_cdf",
    "t_power",
    "t_quantile",
    "time_to_threshold",
    "transfer_ratio",
    "worst_decile",
]
