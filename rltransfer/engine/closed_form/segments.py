"""Parameters in one flat vector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rltransfer.engine.closed_form.activations import Activation

# Each segment's part of a flat vector, in the shape of its parameter.
Views = list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Segment:
    """Where one parameter lies in the flat vector.

    Attributes:
        index: Its place among the segments.
        name: Name of the parameter in the policy.
        parameter: The parameter.
        start: Its first place.
        stop: One past its last place.
        reversed: Its shape, last axis first, which is how it lies there.
    """

    index: int
    name: str
    parameter: nn.Parameter
    start: int
    stop: int
    reversed: tuple[int, ...]

    def of(self, flat: np.ndarray) -> np.ndarray:
        """View its part of a flat vector in the shape of the parameter."""
        return flat[self.start : self.stop].reshape(self.reversed).T


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer and what follows it.

    Attributes:
        start: First place of its matrix in the flat vector.
        shape: (inputs + 1, outputs): the transposed weight, with the bias as its last row.
        activation: Its activation; None for the last layer of a tower.
        weight: Its weight.
        bias: Its bias.
    """

    start: int
    shape: tuple[int, int]
    activation: Activation | None
    weight: nn.Parameter
    bias: nn.Parameter

    def of(self, flat: np.ndarray) -> np.ndarray:
        """View its matrix in a flat vector."""
        stop = self.start + self.shape[0] * self.shape[1]
        return flat[self.start : stop].reshape(self.shape)

    @property
    def trains(self) -> bool:
        """Whether any of it is trained now."""
        return self.weight.requires_grad or self.bias.requires_grad


class FlatVector:
    """Order of parameters in one flat vector.

    Attributes:
        segments: Every parameter, in the order of the vector.
        size: Length of the vector.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.size = 0

    @property
    def dtype(self) -> np.dtype:
        """Of the parameters."""
        return self.segments[0].parameter.detach().numpy().dtype

    def views(self, flat: np.ndarray) -> Views:
        """View every segment's part of a flat vector."""
        return [segment.of(flat) for segment in self.segments]

    def read(self, views: Views) -> None:
        """Copy the parameters into a flat vector, given as views."""
        for segment, view in zip(self.segments, views, strict=True):
            view[...] = segment.parameter.detach().numpy()

    def write(self, views: Views, trained: Iterable[Segment]) -> None:
        """Copy a flat vector, given as views, into the parameters that train."""
        with torch.no_grad():
            for segment in trained:
                segment.parameter.copy_(torch.from_numpy(views[segment.index]))

    def write_gradients(self, flat: np.ndarray, trained: Iterable[Segment]) -> None:
        """Leave a flat vector as the gradients of the parameters that train, and no others."""
        kept = set(trained)
        for segment in self.segments:
            gradient = None
            if segment in kept:
                gradient = torch.empty_like(segment.parameter)
                gradient.numpy()[...] = segment.of(flat)
            segment.parameter.grad = gradient

    def trained(self) -> list[Segment]:
        """Parameters that train now."""
        return [segment for segment in self.segments if segment.parameter.requires_grad]

    def _layer(self, name: str, linear: Any, activation: Activation | None) -> Layer:
        start = self.size
        self._append(f"{name}.weight", linear.weight)
        self._append(f"{name}.bias", linear.bias)
        # Python's integers: widths may be of the type of the action space, as small as int8.
        shape = (int(linear.in_features) + 1, int(linear.out_features))
        return Layer(start, shape, activation, linear.weight, linear.bias)

    def _append(self, name: str, parameter: nn.Parameter) -> Segment:
        shape = tuple(parameter.shape)[::-1]
        stop = self.size + parameter.numel()
        segment = Segment(len(self.segments), name, parameter, self.size, stop, shape)
        self.segments.append(segment)
        self.size = segment.stop
        return segment
