"""A small network that infers the parameters of a simulator from recent transitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from rltransfer.meta.history import Floats, History

_LEAST_STD = 1e-6
_BATCH = 256
# Deviations from the mean; an action that was never taken has no deviation.
_MOST = 10.0


class ContextEstimator(nn.Module):
    """Regresses the context, each parameter from -1 to 1, from a window of transitions.

    Args:
        names: Names of the parameters.
        length: Transitions of a window.
        width: Numbers of a transition.
        hidden: Units of each hidden layer.

    Attributes:
        r2: Share of the variance on held-out episodes that is explained, by parameter: 1 for a
            perfect estimate, 0 for the mean; empty before :func:`fit`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, names: Sequence[str], length: int, width: int, hidden: Sequence[int] = (64, 64)
    ) -> None:
        super().__init__()
        self.names = tuple(names)
        self.length = length
        self.r2: Mapping[str, float] = {}
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        sizes = [length * width, *hidden]
        layers = [
            part for one, other in pairwise(sizes) for part in (nn.Linear(one, other), nn.Tanh())
        ]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], len(names)))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Estimate, (rows, k, width) -> (rows, parameters); what is missing counts as average."""
        there = windows[:, :, -1:]
        scaled = ((windows - self.mean) / self.std).clamp(-_MOST, _MOST) * there
        scaled = torch.cat([scaled[:, :, :-1], there], dim=2)
        return self.net(scaled.flatten(1))

    @torch.no_grad()
    def estimate(self, history: History) -> Floats:
        """Estimate the context of each row, within its bounds, (rows, parameters)."""
        return self(torch.from_numpy(history.window)).clamp(-1, 1).numpy()


def fit(
    estimator: ContextEstimator,
    windows: Floats,
    contexts: Floats,
    held_out: np.ndarray,
    *,
    epochs: int,
    learning_rate: float = 1e-3,
) -> None:
    """Fit an estimator by least squares, and note how well it does on what was held out.

    Args:
        estimator: Changed in place.
        windows: Transitions, (samples, k, width).
        contexts: What is to be inferred from each, (samples, parameters).
        held_out: Which samples are for measuring alone; whole episodes, as their samples are
            alike, (samples,).
        epochs: Passes over the other samples.
        learning_rate: Of Adam; it falls linearly to 0.
    """
    inputs, wanted = torch.from_numpy(windows), torch.from_numpy(contexts)
    rows = torch.from_numpy(np.flatnonzero(~held_out))
    there = inputs[rows][inputs[rows][:, :, -1] > 0]
    estimator.mean.copy_(there.mean(dim=0))
    estimator.std.copy_(there.std(dim=0).clamp(min=_LEAST_STD))
    optimizer = torch.optim.Adam(estimator.parameters(), learning_rate)
    fading = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs)
    for _ in range(epochs):
        for batch in rows[torch.randperm(len(rows))].split(_BATCH):
            loss = nn.functional.mse_loss(estimator(inputs[batch]), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        fading.step()
    estimator.r2 = _explained(estimator, inputs[held_out], wanted[held_out])


@torch.no_grad()
def _explained(
    estimator: ContextEstimator, windows: torch.Tensor, contexts: torch.Tensor
) -> dict[str, float]:
    missed = (estimator(windows) - contexts).square().mean(dim=0)
    varied = contexts.var(dim=0, correction=0)
    shares = (1 - missed / varied).tolist()
    return dict(zip(estimator.names, shares, strict=True))
