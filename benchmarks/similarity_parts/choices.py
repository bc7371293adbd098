"""What the selectors chose, and what that gained."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rltransfer.experiments import Gain
from rltransfer.metrics import crossed_mean, sign_flip_test
from similarity_parts.settings import FIXED, SELECTORS


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One way of choosing against another, over pairs.

    Attributes:
        mean: Mean difference of the gains, normalized score.
        low: Lower end of its 95 % interval (Student's t, over pairs).
        high: Upper end.
        p: Two-sided sign-flip p-value, for this comparison alone.
        better: Pairs on which the first gained more.
        pairs: All pairs.
    """

    mean: float
    low: float
    high: float
    p: float
    better: int
    pairs: int


def chosen(gain: Gain, arm: str) -> Counter[str]:
    """What a selector chose in the runs of one pair, in its words.

    Args:
        gain: The runs.
        arm: The selector.
    """
    reasons = [run.choice for run in gain.runs if run.spec.label == arm]
    return Counter(reason.partition(": ")[2] or reason for reason in reasons)


def difference(gains: Mapping[str, Mapping[str, float]], one: str, other: str) -> Difference:
    """Compare the gains of two arms over pairs.

    Args:
        gains: Gain by pair and arm.
        one: An arm.
        other: Another one.
    """
    d = np.array([by_arm[one] - by_arm[other] for by_arm in gains.values()])
    low, high = crossed_mean(d).interval()
    return Difference(
        mean=float(d.mean()),
        low=float(low),
        high=float(high),
        p=sign_flip_test(d),
        better=int((d > 0).sum()),
        pairs=d.size,
    )


def contests() -> Sequence[tuple[str, str]]:
    """Which arms are compared: the selectors with each other, and each with what is fixed."""
    among = itertools.combinations(SELECTORS, 2)
    return [*among, *((selector, arm) for selector in SELECTORS for arm in FIXED)]
