"""Running statistics that normalize the observations of one encoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

EPSILON = 1e-8
CLIP = 10.0


class ObservationStats(nn.Module):
    """Mean and variance of observations, kept with the weights of the policy.

    They follow what is observed between updates, never within one: acting and learning see the same
    numbers. What Stable-Baselines3 keeps in ``VecNormalize``, for one encoder instead of one
    environment.

    Args:
        size: Numbers of an observation.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, numbers: Tensor) -> Tensor:
        """Normalize observations, shape (n, size)."""
        scaled = (numbers - self.mean) / torch.sqrt(self.var + EPSILON)
        return scaled.clamp(-CLIP, CLIP)

    @torch.no_grad()
    def update(self, numbers: np.ndarray) -> None:
        """Add observations, shape (n, size), by the parallel formula of Chan et al. 1979."""
        mean, var, count = numbers.mean(0, np.float64), numbers.var(0, np.float64), len(numbers)
        known = float(self.count)
        total = known + count
        delta = mean - self.mean.double().cpu().numpy()
        between = delta**2 * known * count / total
        spread = self.var.double().cpu().numpy() * known + var * count + between
        self.mean += torch.from_numpy(delta * count / total).to(self.mean)
        self.var.copy_(torch.from_numpy(spread / total))
        self.count.fill_(total)
