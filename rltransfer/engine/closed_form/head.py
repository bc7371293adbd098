"""What every action distribution on top of the actor can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

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

    @abstractmethod
    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """Most likely actions, (rows,) where an action is one number, else (rows, dims)."""

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
