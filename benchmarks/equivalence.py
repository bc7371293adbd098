"""Two one-sided tests: do paired differences show that two programs are equivalent?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Result of two one-sided t-tests at 5 % each (Schuirmann 1987).

    Attributes:
        mean: Mean of the differences.
        low: Lower end of its 90 % interval.
        high: Upper end.
        p: The larger of the p-values of "the mean is at most -margin" and "is at least margin".
        margin: Largest difference that counts as none.
    """

    mean: float
    low: float
    high: float
    p: float
    margin: float

    @property
    def shown(self) -> bool:
        """Whether equivalence is shown: the interval lies within the margins."""
        return -self.margin < self.low and self.high < self.margin


def equivalence(groups: Sequence[Sequence[float]], margin: float) -> Equivalence:
    """Test whether the mean over groups of their mean differences is within a margin of 0.

    Each group counts alike, whatever its variance; degrees of freedom are those of Satterthwaite
    1946. With one group this is the paired t-test.

    Args:
        groups: Differences of each group (task), at least 2 in each.
        margin: Margin, positive.

    Raises:
        ValueError: A group has fewer than 2 differences, or the margin is not positive.
    """
    if not groups or min(map(len, groups)) < 2 or not margin > 0:
        raise ValueError("expected groups of 2 differences or more, and a positive margin")
    mean = float(np.mean([np.mean(group) for group in groups]))
    parts = [float(np.var(group, ddof=1)) / len(group) / len(groups) ** 2 for group in groups]
    error = math.sqrt(sum(parts))
    if error == 0.0:
        return Equivalence(
            mean=mean, low=mean, high=mean, p=float(abs(mean) >= margin), margin=margin
        )
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True)
    )
    half = student_t_quantile(0.95, freedom) * error
    p = student_t_cdf((abs(mean) - margin) / error, freedom)
    return Equivalence(mean=mean, low=mean - half, high=mean + half, p=p, margin=margin)


def student_t_cdf(t: float, freedom: float) -> float:
    """Probability that a variable of Student's t distribution is at most t, to about 1e-10.

    With t = sqrt(freedom) tan(a) the density becomes a power of the cosine, which Gauss-Legendre
    quadrature integrates.
    """
    angle = math.atan(t / math.sqrt(freedom))
    values = np.cos(angle * (NODES + 1) / 2) ** (freedom - 1)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    return 0.5 + scale / math.sqrt(math.pi) * angle / 2 * float(WEIGHTS @ values)


def student_t_quantile(probability: float, freedom: float) -> float:
    """Value that a variable of Student's t distribution stays below with a probability >= 1/2."""
    low, high = 0.0, 1.0
    while student_t_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if student_t_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2
