"""Forward and backward passes of the actor, or of the critic, over rows of several tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.multitask.closed_form.encoders import Encoders
from rltransfer.engine.multitask.closed_form.heads import Heads, StackedHeads
from rltransfer.engine.multitask.closed_form.layout import Matrices, StreamLayout
from rltransfer.engine.multitask.closed_form.rows import Parts
from rltransfer.engine.multitask.closed_form.workspace import Workspace


class Stream:
    """Encoders of the tasks, the trunk that they share, and their heads.

    Layer 0 is the encoders, layer i the i-th one of the trunk, and the heads come after the last.
    Rows are sorted by task: each encoder and each head has a product of its own with its columns,
    the trunk one with all of them.

    Args:
        layout: Its layers.
        dtype: Of its numbers.
        kernels: Module with the elementwise functions.
    """

    # More divisions of a minibatch than an epoch has, mostly.
    KEPT = 64

    def __init__(self, layout: StreamLayout, dtype: np.dtype, kernels: Any) -> None:
        self.layout = layout
        self.top = len(layout.trunk) + 1
        self._dtype = dtype
        self._kernels = kernels
        self._activations: list[Any] = [
            layer.activation for layer in (layout.encoders[0], *layout.trunk)
        ]
        self.encoders = Encoders(layout)
        self._heads = StackedHeads() if layout.stack else Heads()
        self._workspaces: dict[Parts, Workspace] = {}

    def workspace(self, parts: Parts) -> Workspace:
        """Give the arrays for a batch."""
        found = self._workspaces.get(parts)
        if found is None:
            if len(self._workspaces) >= self.KEPT:
                self._workspaces.clear()
            found = self._workspaces[parts] = Workspace(self.layout, parts, self._dtype)
        return found

    def width(self, layer: int) -> int:
        """Numbers of a row of a layer's input, with its one; the layer is not the first."""
        return (self.layout.encoders[0], *self.layout.trunk)[layer - 1].shape[1] + 1

    def lowest(self, gradients: Matrices) -> int:
        """Lowest layer that trains; ``top`` if only heads do."""
        encoders = any(one is not None for one in gradients.encoders)
        trains = [encoders, *(one is not None for one in gradients.trunk), True]
        return trains.index(True)

    def forward(
        self, weights: Matrices, space: Workspace, given: np.ndarray, start: int = 0
    ) -> list[np.ndarray]:
        """Run all layers.

        Args:
            weights: Matrices of the layers.
            space: Arrays of the batch.
            given: Input of the first layer that runs, with its ones, shape (rows, inputs).
            start: First layer that runs.

        Returns:
            Outputs of each part's head, shape (outputs, rows of the part).
        """
        self._heads.forward(weights, space, self.features(weights, space, given, start))
        return space.outputs

    def features(
        self,
        weights: Matrices,
        space: Workspace,
        given: np.ndarray,
        start: int = 0,
        stop: int | None = None,
    ) -> np.ndarray:
        """Run the layers before ``stop``, all by default: its input, shape (inputs, rows)."""
        activate, activations, below = self._kernels.activate, self._activations, given.T
        for i in range(start, self.top if stop is None else stop):
            result = space.results[i]
            if i:
                weights.trunk[i - 1].T.dot(below, result)
            else:
                self.encoders.forward(weights, space, below)
            activate(activations[i].kind, activations[i].slope, result)
            below = space.inputs[i + 1]
        return below

    def backward(
        self,
        weights: Matrices,
        space: Workspace,
        gradients: Matrices,
        given: np.ndarray,
        start: int = 0,
    ) -> None:
        """Compute gradients from those of the heads' outputs, ``space.output_deltas``.

        Args:
            weights: Matrices of the layers.
            space: Arrays of the forward pass.
            gradients: Matrices that are overwritten; None for layers that do not train.
            given: What the forward pass was given.
            start: Where it started: the lowest layer that trains.
        """
        deltas, activations = space.deltas, self._activations
        if start == self.top:
            self._heads.backward(weights, space, gradients, given.T, below=False)
        else:
            self._heads.backward(weights, space, gradients, space.inputs[-1], below=True)
        for i in range(self.top - 1, start - 1, -1):
            self._kernels.differentiate(
                activations[i].kind, activations[i].slope, space.results[i], deltas[i]
            )
            if i:
                if gradients.trunk[i - 1] is not None:
                    below = given.T if i == start else space.inputs[i]
                    below.dot(deltas[i].T, gradients.trunk[i - 1])
                if i > start:
                    weights.trunk[i - 1][:-1].dot(deltas[i], deltas[i - 1])
            else:
                self.encoders.backward(space, gradients, given.T)
