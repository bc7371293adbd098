"""Learning curves reduced to numbers: jumpstart, asymptote and area under the curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument


def check_curve(steps: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Convert a learning curve to float arrays, and refuse one that is malformed.

    Args:
        steps: Environment steps of the evaluations, shape ``(n,)``, increasing from 0.
        scores: Mean evaluation scores, shape ``(n,)`` or ``(runs, n)``, finite.

    Returns:
        ``steps`` and ``scores`` as float64.

    Raises:
        BadArgument: Shapes disagree, a value is not finite, or steps do not increase from 0.
    """
    times, values = np.asarray(steps, dtype=float), np.asarray(scores, dtype=float)
    if times.ndim != 1 or times.size == 0:
        raise BadArgument(f"steps have shape {times.shape}; expected (n,) with n >= 1 evaluations")
    if values.ndim not in (1, 2) or values.shape[-1] != times.size or values.size == 0:
        raise BadArgument(
            f"scores have shape {values.shape}; expected ({times.size},) or (runs, {times.size}), "
            "one score per evaluation step"
        )
    if not (np.isfinite(times).all() and np.isfinite(values).all()):
        raise BadArgument(
            "a learning curve has a NaN or infinite value; every score must be finite"
        )
    if times[0] != 0 or (np.diff(times) <= 0).any():
        raise BadArgument(
            f"steps start at {times[0]:g} or do not increase; evaluate once at step 0, before "
            "training, and then at increasing steps"
        )
    return times, values


def on_grid(
    steps: ArrayLike, scores: ArrayLike, grid: ArrayLike, *, hold: bool = False
) -> np.ndarray:
    """Interpolate a learning curve linearly at other steps.

    Args:
        steps: Environment steps, shape ``(n,)``, increasing from 0.
        scores: Shape ``(n,)`` or ``(runs, n)``.
        grid: Environment steps to read the curve at, shape ``(m,)``.
        hold: Let the grid run past the last evaluation, where the last score is held flat. Without
            it such a grid is refused: what was not measured is not made up.

    Returns:
        Scores at the grid, shape ``(m,)`` or ``(runs, m)``.

    Raises:
        BadArgument: The curve is malformed or the grid leaves it.
    """
    steps, scores = check_curve(steps, scores)
    grid = np.asarray(grid, dtype=float)
    if grid.ndim != 1 or grid.size == 0 or not np.isfinite(grid).all() or grid.min() < 0:
        raise BadArgument("a grid must be a non-empty 1-D array of finite steps >= 0")
    if not hold and grid.max() > steps[-1]:
        raise BadArgument(
            f"the grid ends at step {grid.max():g} and the last evaluation is at {steps[-1]:g}; "
            "shorten it, or pass hold=True to hold the last score flat"
        )
    if scores.ndim == 1:
        return np.interp(grid, steps, scores)
    return np.stack([np.interp(grid, steps, run) for run in scores])


def jumpstart(steps: ArrayLike, scores: ArrayLike, baseline: ArrayLike) -> np.ndarray | np.float64:
    """Gain before any training on the target: ``p_T(0) - p_0(0)``.

    It includes everything that was carried over, such as the observation statistics.

    Args:
        steps: Environment steps, shape ``(n,)``, increasing from 0.
        scores: Scores with transfer, shape ``(n,)`` or ``(runs, n)``.
        baseline: Scores without transfer at the same steps, of the same shape (runs are paired).

    Returns:
        The difference in score units, one per run.

    Source:
        Taylor and Stone 2009, JMLR 10:1633, section 2.1.
    """
    steps, scores = check_curve(steps, scores)
    _, baseline = check_curve(steps, baseline)
    if scores.shape != baseline.shape:
        raise BadArgument(
            f"scores {scores.shape} and baseline {baseline.shape} are not paired; pass one "
            "baseline run for each run"
        )
    return scores[..., 0] - baseline[..., 0]


def asymptote(
    steps: ArrayLike, scores: ArrayLike, *, budget: float | None = None, fraction: float = 0.1
) -> np.ndarray | np.float64:
    """Score at the end of training: the mean over the last tenth of the budget ``B``.

    ``1 / (f B) * integral_{(1-f) B}^{B} p(t) dt`` of the linearly interpolated curve, so it does
    not depend on how often that stretch was evaluated. It is relative to the budget: neither arm
    need have converged.

    Args:
        steps: Environment steps, shape ``(n,)``, increasing from 0.
        scores: Shape ``(n,)`` or ``(runs, n)``.
        budget: ``B`` in environment steps; the last evaluation if left out.
        fraction: ``f``, in ``(0, 1]``.

    Returns:
        Score units, one per run.

    Source:
        Taylor and Stone 2009, JMLR 10:1633, section 2.1 (asymptotic performance).
    """
    steps, scores = check_curve(steps, scores)
    if not 0 < fraction <= 1:
        raise BadArgument(f"fraction is {fraction}; expected a number in (0, 1]")
    stop = _budget(steps, budget)
    return _time_average(steps, scores, (1 - fraction) * stop, stop)


def auc(
    steps: ArrayLike, scores: ArrayLike, *, budget: float | None = None
) -> np.ndarray | np.float64:
    """Area under the learning curve per step: ``(1 / B) * integral_0^B p(t) dt`` (trapezoid).

    This is the mean score during training, in the units of the score, and the primary metric:
    unlike the final score it rewards learning sooner, and unlike the time to a threshold it is
    defined for every run.

    Args:
        steps: Environment steps, shape ``(n,)``, increasing from 0.
        scores: Shape ``(n,)`` or ``(runs, n)``.
        budget: ``B`` in environment steps; the last evaluation if left out.

    Returns:
        Score units, one per run.

    Source:
        Taylor and Stone 2009, JMLR 10:1633, section 2.1 (total reward); Wolczyk et al. 2021,
        Continual World, section 4.2 (normalised by the budget).
    """
    steps, scores = check_curve(steps, scores)
    return _time_average(steps, scores, 0.0, _budget(steps, budget))


def _budget(steps: np.ndarray, budget: float | None) -> float:
    stop = float(steps[-1]) if budget is None else float(budget)
    if not stop > 0:
        raise BadArgument(f"the budget is {stop:g} steps; expected more than 0")
    return stop


def _time_average(
    steps: np.ndarray, scores: np.ndarray, start: float, stop: float
) -> np.ndarray | np.float64:
    inner = steps[(steps > start) & (steps < stop)]
    grid = np.concatenate([[start], inner, [stop]])
    return np.trapezoid(on_grid(steps, scores, grid), grid, axis=-1) / (stop - start)
