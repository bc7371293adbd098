"""Mean learning curves with their intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rltransfer import metrics
from rltransfer.report.data import Arm, scores_at
from rltransfer.report.pairing import Pairing


class Band(NamedTuple):
    """A mean curve and the ends of its pointwise 95 % interval, each of shape ``(m,)``."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def band(arm: Arm, grid: np.ndarray) -> Band:
    """Average the curves of an arm over sources and seeds.

    Args:
        arm: Its runs.
        grid: Steps to read them at, shape ``(m,)``.

    Returns:
        The mean over sources of the mean over seeds; its interval is that of
        :func:`rltransfer.metrics.crossed_mean`, whose ends are ``nan`` for a single run.
    """
    runs = tuple(arm.runs)
    laid = Pairing(runs=runs, partners=runs)
    means = np.array(
        [metrics.crossed_mean(laid.table(column)) for column in scores_at(runs, grid).T]
    )
    value, *parts = means.T
    # The quantiles of all steps at once: one by one they would take most of the time.
    by_source, by_seed = (
        np.where(variance > 0, metrics.t_quantile(0.975, df) ** 2 * variance, variance)
        for variance, df in zip(parts[::2], parts[1::2], strict=True)
    )
    half = np.sqrt(by_source + by_seed)
    return Band(value, value - half, value + half)
