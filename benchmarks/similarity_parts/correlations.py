"""Whether pairs that a measure calls more similar are those on which transfer gained more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rltransfer.metrics import holm, kendall, rank_interval, rank_test, spearman
from rltransfer.similarity import MEASURES

FEWEST = 5
"""Pairs below which nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """How one measure ranks the pairs by what a recipe gained; > 0 if as it should.

    Attributes:
        measure: Field of ``Similarity``.
        gain: What was gained: the name of a recipe, or ``"best"``.
        pairs: Pairs of which the measure is known.
        spearman: Spearman's rank correlation, and its 95 % interval over pairs.
        kendall: Kendall's tau-b, and its interval.
        p: Two-sided permutation p-value of Spearman's correlation.
        p_holm: The same, adjusted for all measures and gains of the page (:func:`adjusted`).
        within: Kendall's tau over pairs of one family alone, pooled over the families.
    """

    measure: str
    gain: str
    pairs: int
    spearman: tuple[float, float, float]
    kendall: tuple[float, float, float]
    p: float
    p_holm: float
    within: float


def correlations(
    measures: Mapping[str, Mapping[str, float]],
    gains: Mapping[str, float],
    families: Mapping[str, str],
    gain: str,
) -> list[Correlation]:
    """Correlate every measure with a gain over pairs.

    Args:
        measures: Value of each measure by pair; nan if unknown.
        gains: What was gained by pair.
        families: Family by pair.
        gain: Name of the gain.

    Returns:
        One entry for each measure, the strongest first, without ``p_holm``; those with fewer than
        :data:`FEWEST` known pairs last, without numbers.
    """
    found = [_one(name, measures, gains, families, gain) for name in MEASURES]
    return sorted(found, key=lambda one: (math.isnan(one.p), -one.spearman[0]))


def adjusted(found: Mapping[str, Sequence[Correlation]]) -> dict[str, list[Correlation]]:
    """Adjust the p-values of all that is looked at together, by Holm's method.

    Args:
        found: Correlations by gain.
    """
    known = [one.p for some in found.values() for one in some if not math.isnan(one.p)]
    left = iter(holm(known) if known else [])
    return {
        gain: [one if math.isnan(one.p) else replace(one, p_holm=float(next(left))) for one in some]
        for gain, some in found.items()
    }


def _one(
    name: str,
    measures: Mapping[str, Mapping[str, float]],
    gains: Mapping[str, float],
    families: Mapping[str, str],
    gain: str,
) -> Correlation:
    pairs = [pair for pair in gains if not math.isnan(measures[pair][name])]
    x = np.array([MEASURES[name].sign * measures[pair][name] for pair in pairs])
    y = np.array([gains[pair] for pair in pairs])
    nothing = (math.nan,) * 3
    if len(pairs) < FEWEST:
        nan = math.nan
        empty = {"spearman": nothing, "kendall": nothing, "p": nan, "p_holm": nan, "within": nan}
        return Correlation(measure=name, gain=gain, pairs=len(pairs), **empty)
    return Correlation(
        measure=name,
        gain=gain,
        pairs=len(pairs),
        spearman=(spearman(x, y), *map(float, rank_interval(x, y, "spearman"))),
        kendall=(kendall(x, y), *map(float, rank_interval(x, y, "kendall"))),
        p=rank_test(x, y),
        p_holm=math.nan,
        within=within_families(x, y, [families[pair] for pair in pairs]),
    )


def within_families(x: np.ndarray, y: np.ndarray, families: Sequence[str]) -> float:
    """Kendall's tau-b over all couples of pairs that belong to one family.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        families: Family of each.

    Returns:
        In [-1, 1]; nan if no couple differs.
    """
    couples = [
        (np.sign(x[i] - x[j]), np.sign(y[i] - y[j]))
        for i, j in itertools.combinations(range(len(x)), 2)
        if families[i] == families[j]
    ]
    signs = np.array(couples).reshape(-1, 2)
    untied = np.abs(signs).sum(axis=0).prod()
    return float(signs.prod(axis=1).sum() / math.sqrt(untied)) if untied else math.nan
