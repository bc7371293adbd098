"""Means with intervals over seeds, paired comparisons, and how they are printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rltransfer.metrics import bootstrap_interval, crossed_mean

BySeed = Mapping[int, float]


class Estimate(NamedTuple):
    """A number with its 95 % interval, whose ends are nan for a single seed."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        """With a sign in front of each number."""
        if math.isnan(self.low):
            return f"{self.value:+.3f}"
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def mean(values: BySeed | Sequence[float]) -> Estimate:
    """Mean over seeds with its t interval."""
    given = list(values.values()) if isinstance(values, Mapping) else list(values)
    found = crossed_mean(given)
    low, high = found.interval()
    return Estimate(found.value, float(low), float(high))


def difference(values: BySeed, baseline: BySeed) -> Estimate:
    """Mean of the differences of the seeds that both have, with its t interval."""
    return mean([values[seed] - baseline[seed] for seed in shared(values, baseline)])


def ratio(values: BySeed, baseline: BySeed) -> Estimate:
    """Ratio of the means over the seeds that both have, with a bootstrap interval of pairs."""
    seeds = shared(values, baseline)
    pairs = np.array([[values[seed], baseline[seed]] for seed in seeds])

    def of_means(table: np.ndarray, *, axis: int) -> np.ndarray:
        means = table.mean(axis=axis)
        return means[..., 0] / means[..., 1]

    value = float(of_means(pairs, axis=0))
    if len(pairs) == 1:
        return Estimate(value, math.nan, math.nan)
    low, high = bootstrap_interval(pairs, of_means)
    return Estimate(value, float(low), float(high))


def shared(values: BySeed, baseline: BySeed) -> list[int]:
    """Seeds that both have, in order."""
    return sorted(set(values) & set(baseline))


def sign_test(differences: Sequence[float]) -> tuple[int, int, float]:
    """Exact two-sided sign test; differences of 0 say nothing.

    Returns:
        How many are positive, how many are negative, and p.
    """
    above = sum(d > 0 for d in differences)
    below = sum(d < 0 for d in differences)
    n, k = above + below, min(above, below)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return above, below, min(1.0, 2 * tail)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
