"""The losses and Adam of :mod:`.plain`, each in one pass, compiled by numba.

Fast math without the assumptions that nothing is infinite or not a number: both must stay visible.
Matrix products and activations are numpy's, whose vectorized tanh no plain loop reaches.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from rltransfer.engine.closed_form.activations import RECTIFIER, TANH
from rltransfer.engine.closed_form.kernels.elementary import HALF_LOG_TWO_PI
from rltransfer.engine.closed_form.kernels.entries import (
    CLIP_FRACTION,
    ENTROPY_LOSS,
    KL,
    POLICY_LOSS,
    VALUE_LOSS,
)
from rltransfer.engine.closed_form.kernels.plain import activate

__all__ = [
    "activate",
    "adam",
    "bernoulli_loss",
    "categorical_loss",
    "differentiate",
    "gaussian_loss",
    "normalize",
    "value_loss",
]

MATH = {"reassoc", "contract", "arcp", "nsz"}
_inline = numba.njit(fastmath=MATH, error_model="numpy", inline="always")


def _compile(function: Any) -> Any:
    """Compile at the first call with a type, and keep the result on disk."""
    options: dict[str, Any] = {"fastmath": MATH, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written
        return numba.njit(**options)(function)


@_compile
def differentiate(kind: int, slope: float, values: Any, delta: Any) -> None:
    """Multiply a gradient in place by the derivative of an activation."""
    v, d = values.reshape(-1), delta.reshape(-1)
    one, below = v.dtype.type(1), v.dtype.type(slope)
    if kind == TANH:
        for i in range(len(v)):
            d[i] *= one - v[i] * v[i]
    elif kind == RECTIFIER:
        for i in range(len(v)):
            d[i] *= one if v[i] > 0 else below
    else:
        for i in range(len(v)):
            d[i] *= one if v[i] > 0 else one + v[i]


@_compile
def normalize(values: Any) -> Any:
    """Standardize with Bessel's correction."""
    rows = len(values)
    mean, squares = 0.0, 0.0
    for i in range(rows):
        mean += values[i]
    mean /= rows
    for i in range(rows):
        squares += (values[i] - mean) ** 2
    scale = 1 / (math.sqrt(squares / (rows - 1)) + 1e-8)
    normalized = np.empty_like(values)
    for i in range(rows):
        normalized[i] = (values[i] - mean) * scale
    return normalized


@_inline
def _surrogate(log_prob: Any, old: Any, advantage: Any, clip: float, rows: int, totals: Any) -> Any:
    """Add one row's terms, and give the gradient of the loss by its log probability."""
    # Literals would widen single precision; limits wider than the ratio would never equal it.
    number = type(old)
    one, share = number(1), number(1 / rows)
    log_ratio = log_prob - old
    ratio = number(math.exp(log_ratio))
    limited = min(max(ratio, number(1 - clip)), number(1 + clip))
    unbounded, bounded = advantage * ratio, advantage * limited
    active = limited == ratio or unbounded < bounded
    change = ratio - one
    totals[POLICY_LOSS] -= share * (unbounded if active else bounded)
    totals[KL] += share * (change - log_ratio)
    totals[CLIP_FRACTION] += (abs(change) > number(clip)) / rows
    # A product rather than a choice, so that what is not a number stays so.
    return -share * unbounded * number(active)


@_compile
def categorical_loss(
    logits: Any,
    bounds: Any,
    actions: Any,
    old_log_prob: Any,
    advantages: Any,
    clip: float,
    ent_coef: float,
    delta: Any,
    totals: Any,
) -> None:
    """Surrogate loss and entropy of independent categorical distributions."""
    rows, parts = logits.shape[1], len(bounds) - 1
    weight = logits.dtype.type(ent_coef / rows)
    normalizers, entropies = np.empty((2, parts), logits.dtype)
    totals[:] = 0
    for row in range(rows):
        log_prob = logits.dtype.type(0)
        for part in range(parts):
            start, stop = bounds[part], bounds[part + 1]
            highest = logits[start, row]
            for choice in range(start + 1, stop):
                highest = max(highest, logits[choice, row])
            total = logits.dtype.type(0)
            for choice in range(start, stop):
                delta[choice, row] = math.exp(logits[choice, row] - highest)
                total += delta[choice, row]
            normalizer = highest + math.log(total)
            entropy = logits.dtype.type(0)
            for choice in range(start, stop):
                delta[choice, row] /= total
                entropy -= delta[choice, row] * (logits[choice, row] - normalizer)
            normalizers[part], entropies[part] = normalizer, entropy
            totals[ENTROPY_LOSS] -= entropy / rows
            log_prob += logits[start + actions[row, part], row] - normalizer
        gradient = _surrogate(log_prob, old_log_prob[row], advantages[row], clip, rows, totals)
        for part in range(parts):
            start = bounds[part]
            for choice in range(start, bounds[part + 1]):
                log_p = logits[choice, row] - normalizers[part]
                bonus = weight * (log_p + entropies[part])
                delta[choice, row] *= bonus - gradient
            delta[start + actions[row, part], row] += gradient


@_compile
def gaussian_loss(
    means: Any,
    log_std: Any,
    log_std_gradient: Any,
    actions: Any,
    old_log_prob: Any,
    advantages: Any,
    clip: float,
    ent_coef: float,
    delta: Any,
    totals: Any,
) -> None:
    """Surrogate loss and entropy of independent normal distributions."""
    dims, rows = means.shape
    precision = np.exp(-log_std)
    log_volume = means.dtype.type(log_std.sum() + dims * HALF_LOG_TWO_PI)
    totals[:] = 0
    totals[ENTROPY_LOSS] = -(log_volume + 0.5 * dims)
    log_std_gradient[:] = -ent_coef
    half, one = means.dtype.type(0.5), means.dtype.type(1)
    for row in range(rows):
        log_prob = -log_volume
        for dim in range(dims):
            deviation = (actions[row, dim] - means[dim, row]) * precision[dim]
            delta[dim, row] = deviation
            log_prob -= half * deviation * deviation
        gradient = _surrogate(log_prob, old_log_prob[row], advantages[row], clip, rows, totals)
        for dim in range(dims):
            deviation = delta[dim, row]
            log_std_gradient[dim] += gradient * (deviation * deviation - one)
            delta[dim, row] = gradient * deviation * precision[dim]


@_compile
def bernoulli_loss(
    logits: Any,
    actions: Any,
    old_log_prob: Any,
    advantages: Any,
    clip: float,
    ent_coef: float,
    delta: Any,
    totals: Any,
) -> None:
    """Surrogate loss and entropy of independent Bernoulli distributions."""
    bits, rows = logits.shape
    weight = logits.dtype.type(ent_coef / rows)
    one = logits.dtype.type(1)
    totals[:] = 0
    for row in range(rows):
        log_prob, entropy = logits.dtype.type(0), logits.dtype.type(0)
        for bit in range(bits):
            logit = logits[bit, row]
            p = one / (one + math.exp(-logit))
            normalizer = max(logit, logits.dtype.type(0)) + math.log1p(math.exp(-abs(logit)))
            log_prob += logit * actions[row, bit] - normalizer
            entropy += normalizer - logit * p
            delta[bit, row] = p
        totals[ENTROPY_LOSS] -= entropy / rows
        gradient = _surrogate(log_prob, old_log_prob[row], advantages[row], clip, rows, totals)
        for bit in range(bits):
            p = delta[bit, row]
            bonus = weight * logits[bit, row] * p * (one - p)
            delta[bit, row] = gradient * (actions[row, bit] - p) + bonus


@_compile
def value_loss(
    values: Any,
    returns: Any,
    old_values: Any,
    clipped: bool,
    clip: float,
    vf_coef: float,
    delta: Any,
    totals: Any,
) -> None:
    """Squared error of the values."""
    rows = len(values)
    clip = values.dtype.type(clip)
    weight = values.dtype.type(2 * vf_coef / rows)
    total = 0.0
    for row in range(rows):
        predicted, inside = values[row], True
        if clipped:
            change = values[row] - old_values[row]
            bounded = max(min(change, clip), -clip)
            predicted, inside = old_values[row] + bounded, change == bounded
        error = predicted - returns[row]
        total += error * error
        delta[row] = error * weight * inside
    totals[VALUE_LOSS] = total / rows


@_compile
def adam(
    weights: Any,
    first: Any,
    second: Any,
    new_weights: Any,
    new_first: Any,
    new_second: Any,
    gradient: Any,
    scale: float,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """One step of Adam from old arrays into new ones."""
    number = weights.dtype.type
    scale, rate, eps = number(scale), number(rate), number(eps)
    keep1, keep2, take1, take2 = number(beta1), number(beta2), number(1 - beta1), number(1 - beta2)
    for i in range(len(weights)):
        slope = gradient[i] * scale
        new_first[i] = keep1 * first[i] + take1 * slope
        new_second[i] = keep2 * second[i] + take2 * slope * slope
        new_weights[i] = weights[i] - rate * new_first[i] / (math.sqrt(new_second[i]) + eps)
