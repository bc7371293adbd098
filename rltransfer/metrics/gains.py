"""Comparisons of a transferred run with scratch, once both are reduced to numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument

FORWARD_TRANSFER_LIMIT = 0.99
"""Baseline AUC from which forward transfer is not defined: there is no room left to improve."""


def transfer_ratio(auc: float, baseline: float) -> float:
    """Relative gain in area: ``(AUC_T - AUC_0) / AUC_0``.

    A ratio is meaningless when zero is arbitrary: adding a constant to the reward changes it. Pass
    scores that are normalized between random and reference play, never raw returns.

    Args:
        auc: Area with transfer, normalized score, >= 0. Average over runs first: a mean of ratios
            is dominated by the runs with the smallest denominator.
        baseline: Area without transfer, normalized score, >= 0.

    Returns:
        A fraction (0.5 = half as much again); ``inf`` if only the baseline is 0, ``nan`` if both
        are.

    Raises:
        BadArgument: An area is negative or not finite.

    Source:
        Taylor and Stone 2009, JMLR 10:1633, section 2.1.
    """
    if not (0 <= auc < math.inf and 0 <= baseline < math.inf):
        raise BadArgument(
            f"transfer ratio of areas {auc:g} and {baseline:g}: both must be finite and >= 0; "
            "normalize the scores, or use the difference of areas"
        )
    if baseline == 0:
        return math.inf if auc > 0 else math.nan
    return (auc - baseline) / baseline


def forward_transfer(auc: float, baseline: float) -> float:
    """Share of the remaining room that transfer gained: ``(AUC - AUC_b) / (1 - AUC_b)``.

    1 means a perfect score from step 0 on, 0 no gain; a loss has no lower bound. The denominator
    vanishes as the baseline nears perfection, where noise would be blown up at will, so the result
    is ``nan`` from ``AUC_b >= 0.99`` on.

    Args:
        auc: Area with transfer of a score in [0, 1], such as a success rate.
        baseline: Area without transfer of the same score.

    Returns:
        A fraction, at most 1.

    Raises:
        BadArgument: An area is outside [0, 1].

    Source:
        Wolczyk et al. 2021, Continual World, section 4.2.
    """
    if not (0 <= auc <= 1 and 0 <= baseline <= 1):
        raise BadArgument(
            f"forward transfer of areas {auc:g} and {baseline:g}: both must lie in [0, 1]; clip "
            "the normalized scores to [0, 1] before taking the area"
        )
    if baseline >= FORWARD_TRANSFER_LIMIT:
        return math.nan
    return (auc - baseline) / (1 - baseline)


def break_even(source_steps: float, saved_steps: float) -> float:
    """Number of target tasks after which training the source has paid for itself.

    ``N* = C_source / s``, where ``s`` is the number of target steps that transfer saves per target.

    Args:
        source_steps: ``C_source``, environment steps spent on the source agent, >= 0.
        saved_steps: ``s``, scratch minus transfer; zero or negative when nothing is saved.

    Returns:
        A number of targets, not rounded; 0 for a free source that saves steps, ``inf`` when nothing
        is saved.

    Raises:
        BadArgument: A number is not finite, or the source cost is negative.

    Source:
        Total-time against target-time scenario of Taylor and Stone 2009, JMLR 10:1633, section 2.1.
    """
    if not (0 <= source_steps < math.inf and math.isfinite(saved_steps)):
        raise BadArgument(
            f"break-even of {source_steps:g} source steps and {saved_steps:g} saved steps: both "
            "must be finite and the source cost >= 0"
        )
    return source_steps / saved_steps if saved_steps > 0 else math.inf


def negative_transfer_rate(differences: ArrayLike) -> float:
    """Share of paired runs in which transfer did worse than scratch: ``mean(d < 0)``.

    Args:
        differences: AUC with transfer minus scratch, one per (pair, seed), any shape.

    Returns:
        A fraction in [0, 1]; a tie is not negative.
    """
    return float(np.mean(_differences(differences) < 0))


def worst_decile(differences: ArrayLike) -> float:
    """Mean of the worst tenth of the paired runs, at least one: what bad luck looks like.

    Args:
        differences: AUC with transfer minus scratch, one per (pair, seed), any shape.

    Returns:
        Score units: the mean of the ``ceil(n / 10)`` smallest differences.
    """
    ordered = np.sort(_differences(differences))
    return float(ordered[: -(-ordered.size // 10)].mean())


def forgetting(after_learning: ArrayLike, at_end: ArrayLike) -> np.ndarray | np.float64:
    """Score lost on earlier tasks: ``F_i = p_i(end of task i) - p_i(T)``.

    Args:
        after_learning: Score on task ``i`` when its own training ended, shape ``(tasks,)`` or
            ``(runs, tasks)``.
        at_end: Score on task ``i`` after all training, of the same shape.

    Returns:
        Score units, of the same shape: positive is forgotten, negative is backward transfer.

    Raises:
        BadArgument: The shapes differ.

    Source:
        Wolczyk et al. 2021, Continual World, section 4.2.
    """
    before, after = np.asarray(after_learning, dtype=float), np.asarray(at_end, dtype=float)
    if before.shape != after.shape:
        raise BadArgument(
            f"forgetting of scores of shapes {before.shape} and {after.shape}; pass one score per "
            "task in both"
        )
    return before - after


def _differences(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    if array.size == 0 or not np.isfinite(array).all():
        raise BadArgument("differences must be a non-empty array of finite numbers")
    return array
