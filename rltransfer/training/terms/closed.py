"""Terms whose gradients are written out, so that closed form can train with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rltransfer.training.terms.actions import Actions
from rltransfer.training.terms.term import Term


class ByOutputs(NamedTuple):
    """A mean loss over B rows, and its gradients.

    Attributes:
        loss: The loss.
        outputs: Gradient by the actor's outputs, shape (outputs, B).
        log_std: Gradient by the logarithm of the standard deviations; None for logits.
    """

    loss: float
    outputs: np.ndarray
    log_std: np.ndarray | None = None


ByWeights = tuple[float, Mapping[str, np.ndarray]]


class ClosedTerm(Term):
    """A term that closed form takes as well; what it does not override adds nothing."""

    def by_outputs(
        self, rows: np.ndarray, outputs: np.ndarray, log_std: np.ndarray
    ) -> ByOutputs | None:
        """Give the loss of a minibatch by the actor's outputs, without its strength.

        Args:
            rows: Numbers of the B rows in the rollout.
            outputs: Logits or means, shape (outputs, B).
            log_std: Logarithm of the standard deviations, shape (outputs,); empty for logits.
        """
        return None

    def by_weights(self, weights: Mapping[str, np.ndarray]) -> ByWeights:
        """Give a loss by the weights that train, without its strength, and its gradients.

        Args:
            weights: By name of the parameter.
        """
        return 0.0, {}


class Wanted:
    """Action distributions of the rows of a rollout, to be compared with in closed form.

    Args:
        actions: The distributions.
    """

    def __init__(self, actions: Actions) -> None:
        self._sizes = actions.sizes
        self._outputs = _array(actions.outputs)
        self._log_std = None if actions.log_std is None else _array(actions.log_std)
        parts = [] if self._log_std is not None else [_array(p.exp()) for p in actions.log_parts()]
        self._chances = parts

    def divergence(self, rows: np.ndarray, outputs: np.ndarray, log_std: np.ndarray) -> ByOutputs:
        """Mean KL divergence from the wanted distributions to those of a policy.

        Args:
            rows: Numbers of the B rows.
            outputs: Logits or means of the policy, shape (outputs, B).
            log_std: Logarithm of its standard deviations; empty for logits.
        """
        if self._log_std is None:
            return self._of_logits(rows, outputs)
        mean, spread = self._outputs[rows].T, self._log_std[rows].T
        precision = np.exp(-2 * log_std)[:, None]
        ratio = np.exp(2 * spread) * precision
        distance = (outputs - mean) * precision
        squares = (outputs - mean) * distance
        loss = 0.5 * (ratio + squares - 1 - np.log(ratio)).sum(0).mean()
        count = len(rows)
        return ByOutputs(float(loss), distance / count, (1 - ratio - squares).sum(1) / count)

    def _of_logits(self, rows: np.ndarray, outputs: np.ndarray) -> ByOutputs:
        gradient, loss, start = np.empty_like(outputs), 0.0, 0
        for size, chances in zip(self._sizes, self._chances, strict=True):
            part, wanted = outputs[start : start + size], chances[rows].T
            logs = _log_chances(part)
            # Of a coin only the first of its two sides has an output.
            gradient[start : start + size] = (np.exp(logs) - wanted)[:size]
            log_wanted = np.log(np.maximum(wanted, np.finfo(wanted.dtype).tiny))
            loss += float((wanted * (log_wanted - logs)).sum(0).mean())
            start += size
        return ByOutputs(loss, gradient / len(rows))


def _log_chances(logits: np.ndarray) -> np.ndarray:
    sides = np.concatenate([logits, np.zeros_like(logits)]) if len(logits) == 1 else logits
    shifted = sides - sides.max(axis=0)
    return shifted - np.log(np.exp(shifted).sum(axis=0))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
