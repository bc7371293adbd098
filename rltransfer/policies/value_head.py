"""A value head that learns in normalized units whatever the scale of the returns (PopArt)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import nn

from rltransfer.errors import BadArgument, Diverged

# Bounds on the variance: 1e-4 and 1e6 on the standard deviation, as in Hessel et al. 2018.
LEAST, MOST = 1e-8, 1e12
# And on its ratio to the mean square, in units of the dtype's rounding: the difference of two
# moments that are that close is noise, and returns divided by its root would be huge.
ROUNDING = 8

Values = TypeVar("Values", np.ndarray, torch.Tensor)


class ValueHead(nn.Module):
    """A linear layer to normalized values, and the statistics that give them back their units.

    With ``v = linear(h)`` the value in the task's own units is ``mean + std * v``. Until the first
    :meth:`update` that is ``v`` itself.

    Args:
        in_features: Numbers per row that come from the trunk.

    Attributes:
        linear: The layer, (in_features, 1).
        mean: First moment of the task's returns, in their units; a buffer of shape ().
        mean_square: Second moment of the task's returns; a buffer of shape ().
        count: Updates of the statistics so far; a buffer of shape ().

    Source: van Hasselt et al. 2016, "Learning values across many orders of magnitude", section 2;
    Hessel et al. 2018, "Multi-task deep reinforcement learning with PopArt", eq. 8-10.
    """

    mean: torch.Tensor
    mean_square: torch.Tensor
    count: torch.Tensor

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 1)
        for name, value in (("mean", 0.0), ("mean_square", 1.0), ("count", 0.0)):
            self.register_buffer(name, self.linear.weight.new_tensor(value, requires_grad=False))

    @property
    def std(self) -> torch.Tensor:
        """Standard deviation of the task's returns, within [1e-4, 1e6], shape ().

        At least about a thousandth of their mean in single precision, which resolves no less.
        """
        noise = ROUNDING * torch.finfo(self.mean.dtype).eps * self.mean_square
        return (self.mean_square - self.mean**2).maximum(noise).clamp(LEAST, MOST).sqrt()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Estimate normalized values, shape (n,), from features, shape (n, in_features)."""
        return self.linear(features).squeeze(-1)

    def normalize(self, returns: Values) -> Values:
        """Bring returns in the task's own units, of any shape, to those of :meth:`forward`."""
        if isinstance(returns, np.ndarray):
            return (returns - self.mean.item()) / self.std.item()
        return (returns - self.mean) / self.std

    def denormalize(self, values: Values) -> Values:
        """Bring what :meth:`forward` estimates, of any shape, to the task's own units."""
        if isinstance(values, np.ndarray):
            return self.mean.item() + self.std.item() * values
        return self.mean + self.std * values

    @torch.no_grad()
    def update(self, returns: np.ndarray | torch.Tensor, *, beta: float) -> bool:
        """Move the statistics towards new returns, and keep every estimate what it was.

        Args:
            returns: Returns in the task's own units, any shape.
            beta: Step towards the moments of these returns, within [0, 1]; 1 / (updates + 1)
                instead while that is larger, so the first returns count wholly.

        Returns:
            Whether anything moved: a frozen layer keeps its statistics, as do no returns at all.

        Raises:
            BadArgument: The step is outside its range.
            Diverged: The returns are not finite, or their squares are too large for the dtype.
        """
        if not 0 <= beta <= 1:
            raise BadArgument(f"beta is {beta!r}: give a step between 0 and 1, such as 0.01")
        batch = torch.as_tensor(returns).detach().to("cpu", torch.float64)
        if not batch.numel() or not all(p.requires_grad for p in self.linear.parameters()):
            return False
        step = max(beta, 1 / (self.count.item() + 1))
        mean = torch.lerp(self.mean.to(batch), batch.mean(), step)
        square = torch.lerp(self.mean_square.to(batch), batch.square().mean(), step)
        if not torch.isfinite(square.to(self.mean.dtype)):
            raise Diverged(
                f"returns between {batch.min():.3g} and {batch.max():.3g} cannot be normalized: "
                "lower the learning rate, or bound the rewards"
            )
        self._move(mean, square)
        return True

    def _move(self, mean: torch.Tensor, mean_square: torch.Tensor) -> None:
        """Change the statistics; what the layer estimates in the task's units stays."""
        old_mean, old_std = self.mean.item(), self.std.item()
        self.mean.copy_(mean)
        self.mean_square.copy_(mean_square)
        self.count += 1
        # Read back: the layer must fit the statistics as they are stored, rounded to their dtype.
        mean_now, std_now = self.mean.item(), self.std.item()
        self.linear.weight.mul_(old_std / std_now)
        bias = self.linear.bias.item()
        self.linear.bias.fill_((old_std * bias + old_mean - mean_now) / std_now)
