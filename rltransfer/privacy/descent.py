"""Gradient descent in which no trajectory weighs more than a bound, behind noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class PrivateDescent:
    """DP-SGD (Abadi et al. 2016, algorithm 1) whose examples are whole trajectories.

    The gradient of each trajectory is clipped to a norm as a whole, however long it is. Gradients
    are summed, noise is added, and the sum is divided by a constant: the expected number of
    trajectories, not the drawn one, which would tell of the data.

    Args:
        parameters: What trains.
        optimizer: Takes the steps; what it does to noisy gradients costs no privacy.
        clip: Largest norm of a trajectory's gradient, above 0; ``inf`` for no bound.
        noise: Standard deviation of the noise on the sum, in units of the gradient.
        expected: Expected number of trajectories of a step.
        generator: Draws the noise.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        clip: float,
        noise: float,
        expected: float,
        generator: torch.Generator,
    ) -> None:
        self._parameters = list(parameters)
        self._optimizer = optimizer
        self._clip, self._noise, self._expected = clip, noise, expected
        self._generator = generator

    def step(self, losses: Iterable[Tensor]) -> None:
        """Take a step.

        Args:
            losses: One scalar for each trajectory of the sample; there may be none.
        """
        total = [torch.zeros_like(one) for one in self._parameters]
        for loss in losses:
            gradients = torch.autograd.grad(loss, self._parameters)
            factor = clip_factor(gradients, self._clip)
            if factor > 0:
                for summed, gradient in zip(total, gradients, strict=True):
                    summed.add_(gradient, alpha=factor)
        for parameter, gradient in zip(self._parameters, total, strict=True):
            noise = torch.randn(gradient.shape, generator=self._generator)
            parameter.grad = (gradient + self._noise * noise) / self._expected
        self._optimizer.step()


def clip_factor(gradients: Sequence[Tensor], clip: float) -> float:
    """Factor that brings a gradient to a norm of at most ``clip``; 0 for one that is not finite."""
    norm = math.sqrt(sum(float(one.double().square().sum()) for one in gradients))
    if not math.isfinite(norm):
        return 0.0
    return min(1.0, clip / norm) if norm > 0 else 1.0
