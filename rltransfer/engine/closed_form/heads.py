"""Action distributions on top of the actor: sampling, log probabilities and losses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

from rltransfer.engine.closed_form.kernels import plain

Noise = tuple[torch.Tensor, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """What the policy loss of one minibatch depends on, besides the actor's outputs.

    Attributes:
        actions: As the head's ``prepare`` gives them, shape (rows, dims).
        old_log_prob: Shape (rows,).
        advantages: Shape (rows,).
        clip: Clipping of the ratio.
        ent_coef: Weight of the entropy.
    """

    actions: np.ndarray
    old_log_prob: np.ndarray
    advantages: np.ndarray
    clip: float
    ent_coef: float


class Head(ABC):
    """An action distribution; its parameters are the outputs of the actor, (outputs, rows).

    ``log_std`` is empty wherever the distribution has none.

    Args:
        shape: Shape of one action.
        dtype: Of the outputs.
        loss: Kernel that computes the policy loss.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, loss: Callable[..., None]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._loss = loss
        self._rows = -1

    def sample(self, outputs: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        """Draw actions, shape (rows, *action shape).

        Torch's global generator gives the very numbers that SB3's distribution would draw.
        """
        rows = outputs.shape[1]
        if rows != self._rows:
            self._make_noise(rows)
            self._rows = rows
        actions = self._draw(outputs, log_std)
        return actions if actions.ndim == 1 + len(self.shape) else actions.reshape(-1, *self.shape)

    def prepare(self, actions: np.ndarray) -> np.ndarray:
        """Bring the buffer's actions, shape (rows, dims), into the type the losses take."""
        return np.ascontiguousarray(actions.reshape(len(actions), -1), self.dtype)

    @abstractmethod
    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""

    def loss(
        self,
        outputs: np.ndarray,
        log_std: tuple[np.ndarray, np.ndarray],
        batch: Batch,
        delta: np.ndarray,
        totals: np.ndarray,
    ) -> None:
        """Compute the clipped surrogate loss with its entropy bonus.

        Args:
            outputs: Of the actor, shape (outputs, rows).
            log_std: Logarithm of the standard deviation, and where its gradient goes.
            batch: The rest of the minibatch.
            delta: Receives the gradient by the outputs.
            totals: Receives the means.
        """
        self._loss(
            outputs,
            *self._own(*log_std),
            batch.actions,
            batch.old_log_prob,
            batch.advantages,
            batch.clip,
            batch.ent_coef,
            delta,
            totals,
        )

    def _own(self, log_std: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, ...]:
        """Arguments that the loss of this distribution alone has."""
        return ()

    def _noise(self, *shape: int) -> Noise:
        """A tensor, and its memory as an array."""
        array = np.empty(shape, self.dtype)
        return torch.from_numpy(array), array

    @abstractmethod
    def _make_noise(self, rows: int) -> None: ...

    @abstractmethod
    def _draw(self, outputs: np.ndarray, log_std: np.ndarray) -> np.ndarray: ...


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

    def prepare(self, actions: np.ndarray) -> np.ndarray:
        """Bring the buffer's actions, shape (rows, dims), into integers."""
        return np.ascontiguousarray(actions.reshape(len(actions), -1), np.int64)

    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""
        rows = np.arange(outputs.shape[1])
        chosen = [
            plain.log_softmax(outputs[part])[actions[:, i], rows]
            for i, part in enumerate(self._parts)
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

    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""
        squares = ((actions.T - outputs) * np.exp(-log_std)[:, None]) ** 2
        volume = float(np.add.reduce(log_std)) + len(log_std) * plain.HALF_LOG_TWO_PI
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

    def log_prob(self, outputs: np.ndarray, log_std: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of prepared actions, shape (rows,)."""
        return np.add.reduce(outputs * actions.T - plain.softplus(outputs))

    def _make_noise(self, rows: int) -> None:
        self._p = self._noise(rows, math.prod(self.shape))

    def _draw(self, outputs: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        tensor, p = self._p
        p[...] = plain.sigmoid(outputs).T
        return torch.bernoulli(tensor).numpy()


def head_of(policy: Any, dtype: np.dtype, kernels: Any) -> Head:
    """Build the head for a policy's action distribution.

    Raises:
        TypeError: The distribution is none of those above.
    """
    distribution, shape = policy.action_dist, tuple(policy.action_space.shape)
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
