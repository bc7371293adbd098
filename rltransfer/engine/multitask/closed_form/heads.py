"""Products of the heads of several tasks."""

from __future__ import annotations

import numpy as np

from rltransfer.engine.multitask.closed_form.layout import Matrices
from rltransfer.engine.multitask.closed_form.workspace import Workspace


class Heads:
    """One product for each task."""

    def forward(self, weights: Matrices, space: Workspace, features: np.ndarray) -> None:
        """Compute ``space.outputs``.

        Args:
            weights: Matrices of the layers.
            space: Arrays of the batch.
            features: Input of the heads, with its ones, shape (inputs + 1, rows).
        """
        columns = _columns(space, features)
        for task, part, outputs in zip(space.tasks, columns, space.outputs, strict=True):
            weights.heads[task].T.dot(part, outputs)

    def backward(
        self,
        weights: Matrices,
        space: Workspace,
        gradients: Matrices,
        features: np.ndarray,
        *,
        below: bool,
    ) -> None:
        """Compute gradients from ``space.output_deltas``.

        Args:
            weights: Matrices of the layers.
            space: Arrays of the forward pass.
            gradients: Receives those of the heads.
            features: What the forward pass was given.
            below: Whether to compute that of the features as well.
        """
        columns = _columns(space, features)
        for j, (task, delta) in enumerate(zip(space.tasks, space.output_deltas, strict=True)):
            gradient = gradients.heads[task]
            if gradient is not None:
                if space.first_heads[j]:
                    columns[j].dot(delta.T, gradient)
                else:
                    gradient += columns[j].dot(delta.T)
            if below:
                # Numpy leaves products over a single output to slow loops.
                product = np.multiply if len(delta) == 1 else np.matmul
                product(weights.heads[task][:-1], delta, out=space.feature_deltas[j])


class StackedHeads(Heads):
    """One product for all tasks, whose heads have one output each and lie behind each other.

    Each gives an output for every row, of which those of other tasks are ignored: less work than a
    product for each task.
    """

    def forward(self, weights: Matrices, space: Workspace, features: np.ndarray) -> None:
        """See :meth:`Heads.forward`."""
        weights.stack.dot(features, space.stack)

    def backward(
        self,
        weights: Matrices,
        space: Workspace,
        gradients: Matrices,
        features: np.ndarray,
        *,
        below: bool,
    ) -> None:
        """See :meth:`Heads.backward`."""
        if gradients.stack is not None:
            space.stack_delta.dot(features.T, gradients.stack)
        if below:
            weights.stack[:, :-1].T.dot(space.stack_delta, space.deltas[-1])


def _columns(space: Workspace, features: np.ndarray) -> list[np.ndarray]:
    if features is space.inputs[-1]:
        return space.features
    return [features[:, part] for part in space.columns]
