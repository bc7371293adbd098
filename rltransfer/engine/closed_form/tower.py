"""Forward and backward passes of one MLP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rltransfer.engine.closed_form.segments import Layer

# Features wider than this stay row by row: to transpose them takes longer than it saves.
WIDE = 128


class Workspace:
    """Arrays for one batch size.

    Activations lie feature by feature, so that each layer's is contiguous in front of a row of
    ones, which multiplies the biases.

    Attributes:
        features: Place of the features, shape (rows, inputs).
        loaded: The same with the ones: input of the first layer if it is not borrowed.
        inputs: Input of each layer with a row of ones, shape (inputs + 1, rows).
        hidden: The same without the ones: what each layer but the last gives.
        outputs: What the last layer gives, shape (outputs, rows).
        flat_outputs: The same, as one vector.
        deltas: Gradients of the loss by what each layer gives before its activation.
    """

    def __init__(self, layers: Sequence[Layer], rows: int, dtype: np.dtype) -> None:
        wide = layers[0].shape[0] > WIDE
        shape = (rows, layers[0].shape[0]) if wide else (layers[0].shape[0], rows)
        self.loaded = np.ones(shape, dtype).T if wide else np.ones(shape, dtype)
        self.features = self.loaded[:-1].T
        later = [np.ones((layer.shape[0], rows), dtype) for layer in layers[1:]]
        self.inputs = [self.loaded, *later]
        self.hidden = [matrix[:-1] for matrix in later]
        self.deltas = [np.empty((layer.shape[1], rows), dtype) for layer in layers]
        self.outputs = np.empty((layers[-1].shape[1], rows), dtype)
        self.flat_outputs = self.outputs.reshape(-1)
        self.results = [*self.hidden, self.outputs]


class Tower:
    """One MLP, from features to its outputs.

    Args:
        layers: Its layers.
        dtype: Of its numbers.
        kernels: Module with the elementwise functions.
    """

    # More batch sizes than a training run has; terminal observations come in any number.
    KEPT = 16

    def __init__(self, layers: Sequence[Layer], dtype: np.dtype, kernels: Any) -> None:
        self.layers = tuple(layers)
        self._dtype = dtype
        self._kernels = kernels
        self._workspaces: dict[int, Workspace] = {}

    def workspace(self, rows: int) -> Workspace:
        """Give the arrays for a batch size."""
        found = self._workspaces.get(rows)
        if found is None:
            if len(self._workspaces) >= self.KEPT:
                self._workspaces.clear()
            found = self._workspaces[rows] = Workspace(self.layers, rows, self._dtype)
        return found

    def load(self, given: np.ndarray, layer: int = 0) -> Workspace:
        """Take the input of a layer for a batch, shape (rows, inputs)."""
        workspace = self.workspace(len(given))
        if layer:
            workspace.hidden[layer - 1][...] = given.T
        else:
            workspace.features[...] = given
            workspace.inputs[0] = workspace.loaded
        return workspace

    def borrow(self, other: Workspace) -> Workspace:
        """Take the features that another tower of the same inputs has loaded."""
        workspace = self.workspace(len(other.features))
        workspace.inputs[0] = other.inputs[0]
        return workspace

    def forward(
        self,
        weights: Sequence[np.ndarray],
        workspace: Workspace,
        start: int = 0,
        stop: int | None = None,
    ) -> np.ndarray:
        """Run the layers from ``start`` to before ``stop``, whose results have shape (width, rows).

        Args:
            weights: Matrices of all layers.
            workspace: Holds the input of the first of them.
            start: First layer.
            stop: One past the last layer; None for all.
        """
        activate, result = self._kernels.activate, workspace.outputs
        for i in range(start, len(self.layers) if stop is None else stop):
            activation, result = self.layers[i].activation, workspace.results[i]
            weights[i].T.dot(workspace.inputs[i], result)
            if activation is not None:
                activate(activation.kind, activation.slope, result)
        return result

    def backward(
        self,
        weights: Sequence[np.ndarray],
        workspace: Workspace,
        gradients: Sequence[np.ndarray | None],
    ) -> None:
        """Compute the gradients of the layers from the last of ``workspace.deltas``.

        Args:
            weights: Matrices of the layers.
            workspace: Arrays of the forward pass.
            gradients: Matrices that are overwritten; None for layers that do not train.
        """
        deltas, lowest = workspace.deltas, lowest_of(gradients)
        for i in range(len(self.layers) - 1, lowest - 1, -1):
            gradient = gradients[i]
            if gradient is not None:
                workspace.inputs[i].dot(deltas[i].T, gradient)
            if i > lowest:
                weights[i][:-1].dot(deltas[i], deltas[i - 1])
                below: Any = self.layers[i - 1].activation
                hidden = workspace.hidden[i - 1]
                self._kernels.differentiate(below.kind, below.slope, hidden, deltas[i - 1])


def lowest_of(gradients: Sequence[np.ndarray | None]) -> int:
    """Index of the first layer that trains; the number of layers if none does."""
    return next((i for i, each in enumerate(gradients) if each is not None), len(gradients))
