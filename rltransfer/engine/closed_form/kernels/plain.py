"""Elementwise functions, losses and Adam in numpy.

Arrays of a batch lie feature by feature, (features, rows). Each loss writes its gradient by the
outputs of the network into ``delta``, and its means into ``totals``, which has the five entries
named in :mod:`rltransfer.engine.closed_form.kernels`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from rltransfer.engine.closed_form.activations import RECTIFIER, TANH
from rltransfer.engine.closed_form.kernels.elementary import (
    HALF_LOG_TWO_PI,
    log_softmax,
    sigmoid,
    softplus,
)
from rltransfer.engine.closed_form.kernels.entries import (
    CLIP_FRACTION,
    ENTROPY_LOSS,
    KL,
    POLICY_LOSS,
    VALUE_LOSS,
)


def activate(kind: int, slope: float, values: np.ndarray) -> None:
    """Apply an activation in place."""
    if kind == TANH:
        np.tanh(values, out=values)
    elif kind == RECTIFIER:
        np.maximum(values, values * slope if slope else 0, out=values)
    else:
        below = np.expm1(np.minimum(values, 0))
        np.maximum(values, 0, out=values)
        np.add(values, below, out=values)


def differentiate(kind: int, slope: float, values: np.ndarray, delta: np.ndarray) -> None:
    """Multiply a gradient in place by the derivative of the activation that gave ``values``."""
    if kind == TANH:
        factor = np.multiply(values, values)
        np.subtract(1, factor, out=factor)
    elif kind == RECTIFIER:
        factor = np.where(values > 0, 1, slope).astype(values.dtype) if slope else values > 0
    else:
        factor = np.minimum(values, 0)
        np.add(factor, 1, out=factor)
    np.multiply(delta, factor, out=delta)


def normalize(values: np.ndarray) -> np.ndarray:
    """Standardize with Bessel's correction."""
    centered = values - np.add.reduce(values) / len(values)
    deviation = math.sqrt(float(centered.dot(centered)) / (len(values) - 1))
    return np.divide(centered, deviation + 1e-8, out=centered)


def categorical_loss(
    logits: np.ndarray,
    bounds: np.ndarray,
    actions: np.ndarray,
    old_log_prob: np.ndarray,
    advantages: np.ndarray,
    clip: float,
    ent_coef: float,
    delta: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Surrogate loss and entropy of independent categorical distributions.

    Args:
        logits: Shape (choices, rows), those of one distribution after those of the other.
        bounds: First choice of each distribution, and the number of choices at the end.
        actions: Chosen ones, shape (rows, distributions).
        old_log_prob: Log probabilities under the policy that acted, shape (rows,).
        advantages: Shape (rows,).
        clip: Clipping of the ratio.
        ent_coef: Weight of the entropy.
        delta: Receives the gradient, shape (choices, rows).
        totals: Receives the means.
    """
    rows = logits.shape[1]
    parts = [slice(start, stop) for start, stop in pairwise(bounds)]
    log_p = np.concatenate([log_softmax(logits[part]) for part in parts])
    places = (actions.T + bounds[:-1, None]) * rows + np.arange(rows)
    gradient = _surrogate(np.add.reduce(log_p.take(places)), old_log_prob, advantages, clip, totals)
    p = np.exp(log_p)
    p_log_p = p * log_p
    totals[ENTROPY_LOSS] = np.add.reduce(p_log_p, axis=None) / rows
    np.multiply(p, -gradient, out=delta)
    if ent_coef:
        for part in parts:
            p_log_p[part] -= p[part] * np.add.reduce(p_log_p[part])
        p_log_p *= ent_coef / rows
        delta += p_log_p
    delta.reshape(-1)[places] += gradient


def gaussian_loss(
    means: np.ndarray,
    log_std: np.ndarray,
    log_std_gradient: np.ndarray,
    actions: np.ndarray,
    old_log_prob: np.ndarray,
    advantages: np.ndarray,
    clip: float,
    ent_coef: float,
    delta: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Surrogate loss and entropy of independent normal distributions.

    Args:
        means: Shape (dims, rows).
        log_std: Shape (dims,).
        log_std_gradient: Receives the gradient by it.
        actions: Shape (rows, dims).
        old_log_prob: Log probabilities under the policy that acted, shape (rows,).
        advantages: Shape (rows,).
        clip: Clipping of the ratio.
        ent_coef: Weight of the entropy.
        delta: Receives the gradient by the means, shape (dims, rows).
        totals: Receives the means.
    """
    precision = np.exp(-log_std)[:, None]
    deviation = actions.T - means
    deviation *= precision
    squares = deviation * deviation
    log_volume = float(np.add.reduce(log_std)) + len(log_std) * HALF_LOG_TWO_PI
    log_prob = np.add.reduce(squares)
    log_prob *= -0.5
    log_prob -= log_volume
    gradient = _surrogate(log_prob, old_log_prob, advantages, clip, totals)
    totals[ENTROPY_LOSS] = -(log_volume + 0.5 * len(log_std))
    deviation *= precision
    np.multiply(deviation, gradient, out=delta)
    squares -= 1
    np.subtract(squares.dot(gradient), ent_coef, out=log_std_gradient)


def bernoulli_loss(
    logits: np.ndarray,
    actions: np.ndarray,
    old_log_prob: np.ndarray,
    advantages: np.ndarray,
    clip: float,
    ent_coef: float,
    delta: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Surrogate loss and entropy of independent Bernoulli distributions.

    Args:
        logits: Shape (bits, rows).
        actions: 0 or 1, shape (rows, bits).
        old_log_prob: Log probabilities under the policy that acted, shape (rows,).
        advantages: Shape (rows,).
        clip: Clipping of the ratio.
        ent_coef: Weight of the entropy.
        delta: Receives the gradient, shape (bits, rows).
        totals: Receives the means.
    """
    rows = logits.shape[1]
    p, log_normalizer = sigmoid(logits), softplus(logits)
    log_prob = np.add.reduce(logits * actions.T - log_normalizer)
    gradient = _surrogate(log_prob, old_log_prob, advantages, clip, totals)
    entropy = np.add.reduce(log_normalizer - logits * p, axis=None)
    totals[ENTROPY_LOSS] = -entropy / rows
    np.multiply(actions.T - p, gradient, out=delta)
    delta += (ent_coef / rows) * (logits * p * (1 - p))


def value_loss(
    values: np.ndarray,
    returns: np.ndarray,
    old_values: np.ndarray,
    clipped: bool,
    clip: float,
    vf_coef: float,
    delta: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Squared error of the values.

    Args:
        values: Shape (rows,).
        returns: Their targets, shape (rows,).
        old_values: Those of the policy that acted, shape (rows,).
        clipped: Whether the change of values is clipped.
        clip: Clipping of that change.
        vf_coef: Weight of the loss.
        delta: Receives the gradient, shape (rows,).
        totals: Receives the mean.
    """
    predicted, inside = values, True
    if clipped:
        change = values - old_values
        bounded = np.maximum(np.minimum(change, clip), -clip)
        predicted, inside = old_values + bounded, change == bounded
    np.subtract(predicted, returns, out=delta)
    totals[VALUE_LOSS] = float(delta.dot(delta)) / len(delta)
    delta *= 2 * vf_coef / len(delta)
    delta *= inside


def adam(
    weights: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    new_weights: np.ndarray,
    new_first: np.ndarray,
    new_second: np.ndarray,
    gradient: np.ndarray,
    scale: float,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1) from old arrays into new ones.

    Args:
        weights: Weights.
        first: First moments.
        second: Second moments.
        new_weights: Receives the weights.
        new_first: Receives the first moments.
        new_second: Receives the second moments.
        gradient: Overwritten.
        scale: Factor on the gradient, at most 1.
        rate: Learning rate, corrected for the bias of both moments.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        eps: Added to the root of the second moment, corrected in the same way.
    """
    if scale != 1:
        np.multiply(gradient, scale, out=gradient)
    np.multiply(gradient, gradient, out=new_weights)
    np.multiply(new_weights, 1 - beta2, out=new_weights)
    np.multiply(second, beta2, out=new_second)
    np.add(new_second, new_weights, out=new_second)
    np.multiply(gradient, 1 - beta1, out=gradient)
    np.multiply(first, beta1, out=new_first)
    np.add(new_first, gradient, out=new_first)
    np.sqrt(new_second, out=gradient)
    np.add(gradient, eps, out=gradient)
    np.divide(new_first, gradient, out=gradient)
    np.multiply(gradient, rate, out=gradient)
    np.subtract(weights, gradient, out=new_weights)


def _surrogate(
    log_prob: np.ndarray,
    old_log_prob: np.ndarray,
    advantages: np.ndarray,
    clip: float,
    totals: np.ndarray,
) -> np.ndarray:
    """Clipped surrogate loss (Schulman et al. 2017, equation 7): its gradient by ``log_prob``."""
    rows = len(log_prob)
    log_ratio = log_prob - old_log_prob
    ratio = np.exp(log_ratio)
    bounded = np.minimum(np.maximum(ratio, 1 - clip), 1 + clip)
    bounded *= advantages
    unbounded = advantages * ratio
    totals[POLICY_LOSS] = -np.add.reduce(np.minimum(unbounded, bounded)) / rows
    # Products rather than a choice, so that what is not a number stays so.
    unbounded *= unbounded <= bounded
    unbounded *= -1 / rows
    ratio -= 1
    totals[CLIP_FRACTION] = np.count_nonzero(np.abs(ratio) > clip) / rows
    ratio -= log_ratio
    totals[KL] = np.add.reduce(ratio) / rows
    return unbounded
