"""Time to a threshold, for runs that may never reach it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument
from rltransfer.metrics.curves import check_curve


class Censored(NamedTuple):
    """Times to an event that some runs did not see.

    Attributes:
        time: Environment steps: of the event, or, where it was not seen, those up to which the run
            was watched. Shape ``()`` for one curve, ``(runs,)`` for several.
        reached: Whether the event was seen, of the same shape.
    """

    time: np.ndarray
    reached: np.ndarray


def time_to_threshold(
    steps: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    *,
    consecutive: int = 3,
    budget: float | None = None,
) -> Censored:
    """First evaluation from which on the score stays at or above a threshold for a while.

    ``tau = min {t_k : p(t_k), ..., p(t_{k+c-1}) >= theta}`` over the evaluations within the budget.
    Staying there for ``c`` evaluations keeps a lucky one from counting. A run that does not get
    there, or for fewer than ``c`` evaluations before the budget ends, is censored at the budget.

    Args:
        steps: Environment steps, shape ``(n,)``, increasing from 0.
        scores: Shape ``(n,)`` or ``(runs, n)``.
        threshold: ``theta`` in score units, fixed before looking at the curves.
        consecutive: ``c``, the evaluations in a row; the first of them is the time.
        budget: Environment steps; later evaluations are not used. The last one if left out.

    Returns:
        Times in environment steps. 0 means that the agent was there before training.

    Raises:
        BadArgument: The curve is malformed, or has fewer than ``c`` evaluations within the budget.

    Source:
        Taylor and Stone 2009, JMLR 10:1633, section 2.1.
    """
    steps, scores = check_curve(steps, scores)
    limit = float(steps[-1]) if budget is None else float(budget)
    within = int(np.count_nonzero(steps <= limit))
    if consecutive < 1 or within < consecutive:
        raise BadArgument(
            f"time to threshold with {consecutive} evaluations in a row, and {within} within the "
            f"{limit:g} steps of the budget; evaluate more often, or ask for 1 to {within}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(scores[..., :within], consecutive, axis=-1)
    above = (windows >= threshold).all(axis=-1)
    reached = above.any(axis=-1)
    return Censored(np.where(reached, steps[above.argmax(axis=-1)], limit), np.asarray(reached))


def restricted_mean_time(times: Censored, budget: float) -> float:
    """Mean time to the threshold within the budget: ``mean(min(tau, B))``.

    Runs that never got there count as ``B``, so it is a lower bound of the mean time as soon as one
    is censored; dropping them instead would reward an arm for failing.

    Args:
        times: Times in environment steps, of any number of runs.
        budget: ``B`` in environment steps, the same for the arms to be compared. Every run must
            have been watched until then.

    Returns:
        Environment steps.

    Raises:
        BadArgument: A run was watched for less than the budget.

    Source:
        Restricted mean survival time: Royston and Parmar 2013, BMC Med. Res. Methodol. 13:152.
    """
    time, reached = _flat(times)
    if (~reached & (time < budget)).any():
        raise BadArgument(
            f"a run was watched for {time[~reached].min():g} steps, less than the budget of "
            f"{budget:g}; use the shortest run as the budget"
        )
    return float(np.minimum(time, budget).mean())


def median_time(times: Censored) -> float:
    """Median time to the threshold by the Kaplan-Meier estimator.

    ``S(t) = prod_{t_i <= t} (1 - d_i / n_i)`` with ``d_i`` events among the ``n_i`` runs still
    watched and not there just before ``t_i``; the median is the first time with ``S(t) <= 1/2``.

    Args:
        times: Times in environment steps, of any number of runs, which may have been watched for
            different lengths of time.

    Returns:
        Environment steps; ``inf`` when too few runs got there to tell.

    Source:
        Kaplan and Meier 1958, JASA 53:457.
    """
    time, reached = _flat(times)
    survival = 1.0
    for event in np.unique(time[reached]):
        at_risk = np.count_nonzero(time >= event)
        survival *= 1 - np.count_nonzero(reached & (time == event)) / at_risk
        # The product of fractions such as 4/5 * 3/4 * ... lands next to 1/2, not on it.
        if survival <= 0.5 + 1e-12:
            return float(event)
    return math.inf


def speed_up(time: float, baseline: float) -> float:
    """How many times sooner transfer got there: ``tau_0 / tau_T``.

    Args:
        time: Time with transfer in environment steps, such as a restricted mean.
        baseline: Time from scratch.

    Returns:
        A factor (2 = in half the steps); ``inf`` when transfer was there before training and
        scratch was not, 1 when both were.

    Raises:
        BadArgument: A time is negative or not finite.
    """
    if not (0 <= time < math.inf and 0 <= baseline < math.inf):
        raise BadArgument(f"speed-up of times {time:g} and {baseline:g}: both must be finite, >= 0")
    if time == 0:
        return 1.0 if baseline == 0 else math.inf
    return baseline / time


def _flat(times: Censored) -> tuple[np.ndarray, np.ndarray]:
    time = np.asarray(times.time, dtype=float).ravel()
    reached = np.asarray(times.reached, dtype=bool).ravel()
    if time.size == 0 or time.shape != reached.shape or not np.isfinite(time).all():
        raise BadArgument("times must be finite, at least one, each with whether it was reached")
    return time, reached
