"""Activation functions whose derivative follows from their output."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

TANH, RECTIFIER, ELU = range(3)


@dataclass(frozen=True)
class Activation:
    """An elementwise function.

    Attributes:
        kind: ``TANH``, ``RECTIFIER`` (ReLU and LeakyReLU) or ``ELU`` (with alpha 1).
        slope: Slope of a rectifier below zero.
    """

    kind: int
    slope: float = 0.0


def activation_of(module: nn.Module) -> Activation | None:
    """Describe an activation module; None for one whose derivative is not written out here."""
    if type(module) is nn.Tanh:
        return Activation(TANH)
    if type(module) is nn.ReLU:
        return Activation(RECTIFIER)
    # A slope above 1 is not max(x, slope * x), one below 0 hides the sign of the input.
    if type(module) is nn.LeakyReLU and 0 <= module.negative_slope <= 1:
        return Activation(RECTIFIER, float(module.negative_slope))
    if type(module) is nn.ELU and module.alpha == 1.0:
        return Activation(ELU)
    return None
