"""Student's t distribution, in numpy: probabilities, quantiles and power."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument


def t_cdf(t: ArrayLike, df: ArrayLike) -> np.ndarray | np.float64:
    """Probability that Student's t is at most ``t``.

    With ``t = sqrt(df) tan(a)`` the density becomes ``cos(a)^(df - 1)``, which Gauss-Legendre
    quadrature integrates to about 1e-13.

    Args:
        t: Any shape.
        df: Degrees of freedom, >= 1, not necessarily whole; broadcast against ``t``.

    Returns:
        Probabilities, of the broadcast shape.

    Raises:
        BadArgument: There is less than one degree of freedom.
    """
    free = _degrees(df)
    angle = np.arctan(np.asarray(t, dtype=float) / np.sqrt(free))
    return _half(angle, free)[()]


def t_quantile(p: float, df: ArrayLike) -> np.ndarray | np.float64:
    """Value that Student's t stays below with probability ``p``.

    Args:
        p: A probability in (0, 1).
        df: Degrees of freedom, >= 1, not necessarily whole, any shape.

    Returns:
        Quantiles, of the shape of ``df``; the relative error is below 1e-8.

    Raises:
        BadArgument: ``p`` is not in (0, 1), or there is less than one degree of freedom.
    """
    free = _degrees(df)
    if not 0 < p < 1:
        raise BadArgument(f"a quantile of probability {p}; expected one in (0, 1)")
    upper = max(p, 1 - p)
    angle = np.arctan(NormalDist().inv_cdf(upper) / np.sqrt(free))
    # The probability is concave in the angle, and the start too small: Newton's steps only rise.
    for _ in range(50):
        step = (upper - _half(angle, free)) / (_scale(free) * np.cos(angle) ** (free - 1))
        angle = angle + step
        if (np.abs(step) <= 1e-14 * angle).all():
            break
    return (math.copysign(1, p - 0.5) * np.sqrt(free) * np.tan(angle))[()]


def t_power(effect: float, n: int, level: float = 0.05) -> float:
    """Probability that a two-sided paired t test finds an effect.

    ``P(|T'| > t_{1 - level / 2, n - 1})`` with ``T'`` noncentral t of noncentrality
    ``effect sqrt(n)``.

    Args:
        effect: Mean of the paired differences by their standard deviation.
        n: Pairs, at least 2.
        level: Of the test.

    Returns:
        A probability.

    Raises:
        BadArgument: There are fewer than 2 pairs, or the level is not in (0, 1).
    """
    if n < 2 or not 0 < level < 1:
        raise BadArgument(
            f"power of {n} pairs at level {level}; expected 2 pairs or more, and (0, 1)"
        )
    df, shift = n - 1, effect * math.sqrt(n)
    critical = float(t_quantile(1 - level / 2, df))
    width = 9 / math.sqrt(2 * df)
    low, high = max(0.0, 1 - width), 1 + width
    nodes, weights = _legendre(256)
    u = (high - low) / 2 * (nodes + 1) + low
    # Density of the estimated by the true standard deviation.
    log_density = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)
    density = np.exp(log_density + (df - 1) * np.log(u) - df * u**2 / 2)
    found = _normal_cdf(shift - critical * u) + _normal_cdf(-shift - critical * u)
    return float(min(1.0, (high - low) / 2 * np.sum(weights * density * found)))


def seeds_needed(differences: ArrayLike, *, power: float = 0.8, level: float = 0.05) -> float:
    """Paired seeds for a t test to find a gain of the observed size.

    The smallest ``n`` with ``t_power(mean / sd, n) >= power``. It takes the observed gain for the
    true one, which it is not: over few seeds read it as an order of magnitude, and fix the number
    of seeds before the runs that are to settle the matter.

    Args:
        differences: Paired differences, one per seed, shape ``(seeds,)``.
        power: Probability of finding it, in (0, 1).
        level: Of the two-sided test.

    Returns:
        A whole number of at least 2; ``inf`` if the mean is 0, ``nan`` for a single difference.

    Raises:
        BadArgument: There are no differences, or one is not finite.

    Source:
        Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, section 2.
    """
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1 or d.size == 0 or not np.isfinite(d).all() or not 0 < power < 1:
        raise BadArgument(
            "differences must be a non-empty 1-D array of finite numbers, and power in (0, 1)"
        )
    mean, spread = float(d.mean()), float(d.std(ddof=1)) if d.size > 1 else math.nan
    if math.isnan(spread) or mean == 0:
        return math.nan if math.isnan(spread) else math.inf
    effect = abs(mean) / spread if spread > 0 else math.inf
    if effect > 1e3 or effect < 1e-4:  # two pairs do; or more than anybody runs
        return 2.0 if effect > 1 else math.inf
    return float(_smallest(effect, power, level))


def _smallest(effect: float, power: float, level: float) -> int:
    low, high = 1, 2
    while t_power(effect, high, level) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if t_power(effect, middle, level) >= power else (middle, high)
    return high


def _half(angle: np.ndarray, free: np.ndarray) -> np.ndarray:
    nodes, weights = _legendre(64)
    at = angle[..., None] * (nodes + 1) / 2
    area = angle / 2 * np.sum(weights * np.cos(at) ** (free[..., None] - 1), axis=-1)
    return 0.5 + _scale(free) * area


def _scale(free: np.ndarray) -> np.ndarray:
    log = np.frompyfunc(lambda v: math.lgamma((v + 1) / 2) - math.lgamma(v / 2), 1, 1)
    return np.exp(np.asarray(log(free), dtype=float)) / math.sqrt(math.pi)


def _normal_cdf(z: np.ndarray) -> np.ndarray:
    erfc = np.frompyfunc(math.erfc, 1, 1)
    return np.asarray(erfc(-z / math.sqrt(2)), dtype=float) / 2


@cache
def _legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(n)


def _degrees(df: ArrayLike) -> np.ndarray:
    free = np.asarray(df, dtype=float)
    if not (free >= 1).all():
        raise BadArgument(f"{free.min():g} degrees of freedom; expected 1 or more")
    return free
