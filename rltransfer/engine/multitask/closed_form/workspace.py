"""Arrays for one division of a batch into tasks."""

from __future__ import annotations

import numpy as np

from rltransfer.engine.multitask.closed_form.layout import StreamLayout
from rltransfer.engine.multitask.closed_form.rows import Parts

# Task whose encoder reads them, numbers of their input, columns, whether they are the first that
# this encoder reads, and where its result goes.
Encoded = tuple[int, int, slice, bool, np.ndarray]


class Workspace:
    """Arrays of a stream for one batch, feature by feature as those of a tower.

    Attributes:
        tasks: Task of each part.
        columns: Columns of each part.
        inputs: Input of each layer, with a row of ones, shape (inputs + 1, rows); the last is that
            of the heads, and that of the encoders is None.
        results: What each layer gives: the same without the ones.
        features: Columns of the last input, by part.
        outputs: What each part's head gives, shape (outputs, rows of the part).
        flat_outputs: All of them, as one vector.
        stack: Outputs of all heads for all rows, of which these are parts; only where heads are
            stacked.
        stack_delta: Gradients by them, 0 where the row is of another task.
        deltas: Gradients by what each layer gives before its activation.
        feature_deltas: Columns of the last of them, by part.
        output_deltas: Gradients by the outputs, by part.
        first_heads: Whether no part before it has the same head.
        encoded: Neighbours that share their encoder, together.
        copies: Room for the gradients by what each of them gives.
    """

    def __init__(self, layout: StreamLayout, parts: Parts, dtype: np.dtype) -> None:
        rows = parts[-1][2] if parts else 0
        widths = [layer.shape[1] for layer in (layout.encoders[0], *layout.trunk)]
        self.tasks = [task for task, _, _ in parts]
        self.columns = [slice(start, stop) for _, start, stop in parts]
        later = [np.ones((width + 1, rows), dtype) for width in widths]
        self.inputs = [None, *later]
        self.results = [matrix[:-1] for matrix in later]
        self.features = [later[-1][:, part] for part in self.columns]
        self.deltas = [np.empty((width, rows), dtype) for width in widths]
        self.feature_deltas = [self.deltas[-1][:, part] for part in self.columns]
        if layout.stack:
            self.stack, self.outputs = _stacked(layout, parts, rows, dtype)
            self.stack_delta, self.output_deltas = _stacked(layout, parts, rows, dtype)
            self.flat_outputs = self.stack.reshape(-1)
        else:
            self.flat_outputs, self.outputs = _outputs(layout, parts, dtype)
            _, self.output_deltas = _outputs(layout, parts, dtype)
        starts = [layout.heads[task].start for task in self.tasks]
        self.first_heads = [start not in starts[:j] for j, start in enumerate(starts)]
        self.encoded = _encoded(layout, parts, self.results[0])
        self.copies = [np.empty_like(result, order="C") for *_, result in self.encoded]


def _stacked(
    layout: StreamLayout, parts: Parts, rows: int, dtype: np.dtype
) -> tuple[np.ndarray, list[np.ndarray]]:
    stack = np.zeros((len(layout.heads), rows), dtype)
    return stack, [stack[task : task + 1, start:stop] for task, start, stop in parts]


def _outputs(
    layout: StreamLayout, parts: Parts, dtype: np.dtype
) -> tuple[np.ndarray, list[np.ndarray]]:
    shapes = [(layout.heads[task].shape[1], stop - start) for task, start, stop in parts]
    flat = np.zeros(sum(height * width for height, width in shapes), dtype)
    views, place = [], 0
    for height, width in shapes:
        views.append(flat[place : place + height * width].reshape(height, width))
        place += height * width
    return flat, views


def _encoded(layout: StreamLayout, parts: Parts, result: np.ndarray) -> list[Encoded]:
    joined: list[list[int]] = []
    for task, start, stop in parts:
        if joined and layout.encoders[joined[-1][0]] is layout.encoders[task]:
            joined[-1][2] = stop
        else:
            joined.append([task, start, stop])
    seen: set[int] = set()
    found = []
    for task, start, stop in joined:
        layer, part = layout.encoders[task], slice(start, stop)
        found.append((task, layer.shape[0], part, layer.start not in seen, result[:, part]))
        seen.add(layer.start)
    return found
