"""Products of the encoders of several tasks."""

from __future__ import annotations

import numpy as np

from rltransfer.engine.multitask.closed_form.layout import Matrices, StreamLayout
from rltransfer.engine.multitask.closed_form.workspace import Workspace

# Multiplications that take as long as it takes to begin a product for one more encoder; measured
# with 4 encoders of 64 outputs.
BEGINNING = 64 * 1600


class Encoders:
    """One product for each task, with its own columns; or one for all, whose inputs are a block.

    Args:
        layout: Layers of the stream.
    """

    def __init__(self, layout: StreamLayout) -> None:
        self._inputs, self._outputs = layout.block_inputs, layout.encoders[0].shape[1]

    def together(self, tasks: int, rows: int) -> bool:
        """Tell whether one product for all is faster, for so many tasks and rows."""
        return self._inputs * self._outputs * rows <= tasks * BEGINNING

    def forward(self, weights: Matrices, space: Workspace, given: np.ndarray) -> None:
        """Compute ``space.results[0]`` from inputs, shape (inputs, rows)."""
        if len(given) == self._inputs:
            weights.block.T.dot(given, space.results[0])
            return
        for task, width, part, _, encoded in space.encoded:
            np.matmul(weights.encoders[task].T, given[:width, part], out=encoded)

    def backward(self, space: Workspace, gradients: Matrices, given: np.ndarray) -> None:
        """Compute gradients from ``space.deltas[0]``."""
        if len(given) == self._inputs:
            # The transposed product is the faster one.
            gradients.block.T[...] = space.deltas[0].dot(given.T)
            return
        for (task, width, part, first, _), copy in zip(space.encoded, space.copies, strict=True):
            gradient = gradients.encoders[task]
            if gradient is None:
                continue
            # Columns of a matrix with a power of two of them fall onto each other in the cache.
            copy[...] = space.deltas[0][:, part]
            if first:
                given[:width, part].dot(copy.T, gradient)
            else:
                gradient += given[:width, part].dot(copy.T)
