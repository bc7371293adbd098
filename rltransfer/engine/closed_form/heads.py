"""The action distributions: categorical, normal and Bernoulli."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)

from rltransfer.engine.closed_form.head import Head
from rltransfer.engine.closed_form.kernels.elementary import (
    HALF_LOG_TWO_PI,
    log_softmax,
    sigmoid,
    softplus,
)


class Race:
    """Draws from categorical distributions.

    ``torch.multinomial`` takes the largest p / q with q from an exponential distribution, which is
    the largest log p - log q; the normalizer of p is the same for all.

    Args:
        part: Logits of the distribution among all.
        tensor: Receives the random numbers, shape (rows, choices).
        noise: The same memory.
    """

    def __init__(self, part: slice, tensor: torch.Tensor, noise: np.ndarray) -> None:
        self._part = part
        self._tensor = tensor
        self._noise = noise.T
        self._scores = np.empty(self._noise.shape, noise.dtype)

    def draw(self, logits: np.ndarray) -> np.ndarray:
        """Draw a choice for each column of the logits."""
        self._tensor.exponential_()
        np.log(self._noise, out=self._scores)
        np.subtract(logits[self._part], self._scores, out=self._scores)
        return self._scores.argmax(axis=0)


class Categorical(Head):
    """One categorical distribution, or several independent ones."""

    def __init__(self, choices: Sequence[int], *args: Any) -> None:
        super().__init__(*args)
        self._bounds = np.concatenate([[0], np.cumsum(choices)]).astype(np.int64)
        self._parts = [slice(start, stop) for start, stop in pairwise(self._bounds.tolist())]
        self._races: list[Race] = []

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """Most likely choices; of several that are equally likely the first."""
        likely = [outputs[part].argmax(axis=0) for part in self._parts]
        return np.stack(likely, axis=1) if self.shape else likely[0]

    def prepare(self, actions: np.ndarray) -> np.ndarray:
        """Bring the buffer's actions, shape (rows, dims), into integers."""
        return np.ascontiguousarray(actions.reshape(len(actions), -1), np.int64)

    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""
        rows = np.arange(outputs.shape[1])
        chosen = [
            log_softmax(outputs[part])[actions[:, i], rows] for i, part in enumerate(self._parts)
        ]
        return np.add.reduce(chosen)

    def _own(self, log_std: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self._bounds,)

    def _make_noise(self, rows: int) -> None:
        self._races = [
            Race(part, *self._noise(rows, part.stop - part.start)) for part in self._parts
        ]

    def _draw(self, outputs: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        drawn = [race.draw(outputs) for race in self._races]
        return np.stack(drawn, axis=1) if self.shape else drawn[0]


class Gaussian(Head):
    """Independent normal distributions whose deviation does not depend on the state."""

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """Means."""
        return outputs.T

    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""
        squares = ((actions.T - outputs) * np.exp(-log_std)[:, None]) ** 2
        volume = float(np.add.reduce(log_std)) + len(log_std) * HALF_LOG_TWO_PI
        return -0.5 * np.add.reduce(squares) - volume

    def _own(self, log_std: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, ...]:
        return log_std, gradient

    def _make_noise(self, rows: int) -> None:
        self._normal = self._noise(rows, math.prod(self.shape))

    def _draw(self, outputs: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        tensor, noise = self._normal
        tensor.normal_()
        actions = noise * np.exp(log_std)
        actions += outputs.T
        return actions


class Bernoulli(Head):
    """Independent coins."""

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """Sides above one half."""
        return np.rint(sigmoid(outputs)).T

    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""
        return np.add.reduce(outputs * actions.T - softplus(outputs))

    def _make_noise(self, rows: int) -> None:
        self._p = self._noise(rows, math.prod(self.shape))

    def _draw(self, outputs: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        tensor, p = self._p
        p[...] = sigmoid(outputs).T
        return torch.bernoulli(tensor).numpy()


def head_of(policy: Any, dtype: np.dtype, kernels: Any) -> Head:
    """Build the head for a policy's action distribution.

    Raises:
        TypeError: The distribution is none of those above.
    """
    return head_for(policy.action_dist, tuple(policy.action_space.shape), dtype, kernels)


def head_for(distribution: Any, shape: tuple[int, ...], dtype: np.dtype, kernels: Any) -> Head:
    """Build the head for an action distribution.

    Args:
        distribution: One of Stable-Baselines3.
        shape: Shape of one action.
        dtype: Of the actor's outputs.
        kernels: Module with the losses.

    Raises:
        TypeError: The distribution is none of those above.
    """
    if type(distribution) is CategoricalDistribution:
        return Categorical([distribution.action_dim], shape, dtype, kernels.categorical_loss)
    if type(distribution) is MultiCategoricalDistribution:
        choices = [int(n) for n in distribution.action_dims]
        return Categorical(choices, shape, dtype, kernels.categorical_loss)
    if type(distribution) is BernoulliDistribution:
        return Bernoulli(shape, dtype, kernels.bernoulli_loss)
    if type(distribution) is DiagGaussianDistribution:
        return Gaussian(shape, dtype, kernels.gaussian_loss)
    raise TypeError(f"{type(distribution).__name__} has no closed form here")
