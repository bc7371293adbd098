"""One number for many runs on many tasks, after Agarwal et al. 2021 (rliable)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument


def iqm(scores: ArrayLike, axis: int | None = None) -> np.ndarray | np.float64:
    """Interquartile mean: the mean of the middle half of the scores.

    The ``floor(n / 4)`` smallest and as many of the largest are cut off and the rest averaged. The
    cut is rounded down and no score counts in part, as in ``scipy.stats.trim_mean(x, 0.25)`` and so
    in rliable: of 5 scores the middle 3 count, of 3 scores all.

    Args:
        scores: Normalized scores, any shape, such as ``(runs, tasks)``.
        axis: Axis to reduce; all of them if left out.

    Returns:
        Score units.

    Source:
        Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice, section 4.3.
    """
    array = _scores(scores)
    array, axis = (array.ravel(), 0) if axis is None else (array, axis)
    n = array.shape[axis]
    cut = n // 4
    middle = np.sort(array, axis=axis).take(range(cut, n - cut), axis=axis)
    return middle.mean(axis=axis)


def optimality_gap(
    scores: ArrayLike, target: float = 1.0, axis: int | None = None
) -> np.ndarray | np.float64:
    """How far the scores fall short of a target: ``gamma - mean(min(x, gamma))``.

    Args:
        scores: Normalized scores, any shape, such as ``(runs, tasks)``.
        target: ``gamma``; scores above it earn nothing extra.
        axis: Axis to reduce; all of them if left out.

    Returns:
        Score units; 0 is perfect, lower is better.

    Source:
        Agarwal et al. 2021, section 4.3.
    """
    return target - np.minimum(_scores(scores), target).mean(axis=axis)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Chance that a run of X beats a run of Y on the same task, averaged over tasks.

    ``mean_m [P(X_m > Y_m) + P(X_m = Y_m) / 2]`` over all pairs of runs, which is the Mann-Whitney
    ``U / (n_x n_y)``.

    Args:
        x: Scores of X, shape ``(runs_x,)`` for one task or ``(runs_x, tasks)``.
        y: Scores of Y, shape ``(runs_y,)`` or ``(runs_y, tasks)``.

    Returns:
        A probability; 0.5 is no difference.

    Raises:
        BadArgument: The numbers of tasks differ.

    Source:
        Agarwal et al. 2021, section 4.3.
    """
    a, b = _by_task(x), _by_task(y)
    if a.shape[1] != b.shape[1]:
        raise BadArgument(
            f"scores on {a.shape[1]} and on {b.shape[1]} tasks; pass (runs, tasks) arrays with the "
            "same tasks in the same order"
        )
    wins = np.sign(a[:, None, :] - b[None, :, :])
    return float((wins.mean() + 1) / 2)


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Fraction of runs that score above each threshold: ``mean(x > tau)``.

    Args:
        scores: Normalized scores, any shape, such as ``(runs, tasks)``.
        thresholds: ``tau``, shape ``(m,)``.

    Returns:
        Fractions in [0, 1], shape ``(m,)``, not increasing in ``tau``.

    Source:
        Agarwal et al. 2021, section 4.2 (run-score distribution).
    """
    levels = np.atleast_1d(np.asarray(thresholds, dtype=float))
    return (_scores(scores).ravel()[:, None] > levels).mean(axis=0)


def _by_task(scores: ArrayLike) -> np.ndarray:
    array = _scores(scores)
    if array.ndim > 2:
        raise BadArgument(f"scores have shape {array.shape}; expected (runs,) or (runs, tasks)")
    return array[:, None] if array.ndim == 1 else array


def _scores(scores: ArrayLike) -> np.ndarray:
    array = np.atleast_1d(np.asarray(scores, dtype=float))
    if array.size == 0 or not np.isfinite(array).all():
        raise BadArgument("scores must be a non-empty array of finite numbers")
    return array
