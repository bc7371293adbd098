"""Encoders and trunk of the actor, or of the critic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rltransfer.policies.trunks import Trunk


@dataclass(frozen=True)
class TaskRows:
    """The rows of one task within a batch that is sorted by task.

    Attributes:
        index: Index of the task.
        rows: Where they are.
    """

    index: int
    rows: slice


@dataclass(frozen=True)
class Sorted:
    """A batch of packed observations in the order of tasks.

    Attributes:
        observations: Shape (n, 1 + P).
        tasks: Index of the task of each row, shape (n,).
        parts: Rows of each task that is there, in order.
        order: Row of the given batch that each row came from; None if it was sorted already.
    """

    observations: Tensor
    tasks: Tensor
    parts: tuple[TaskRows, ...]
    order: Tensor | None

    @classmethod
    def of(cls, observations: Tensor, count: int) -> Sorted:
        """Sort a batch by task.

        Args:
            observations: Packed observations.
            count: Number of tasks of the policy.
        """
        tasks = observations[:, 0].long()
        order = None
        if bool((tasks[1:] < tasks[:-1]).any()):
            order = torch.argsort(tasks, stable=True)
            observations, tasks = observations[order], tasks[order]
        parts, start = [], 0
        for index, rows in enumerate(torch.bincount(tasks, minlength=count).tolist()):
            if rows:
                parts.append(TaskRows(index, slice(start, start + rows)))
            start += rows
        return cls(observations, tasks, tuple(parts), order)

    def sorted(self, values: Tensor) -> Tensor:
        """Bring numbers, one a row of the given batch, into the order of tasks."""
        return values if self.order is None else values[self.order]

    def unsorted(self, values: Tensor) -> Tensor:
        """Bring results, one a row, into the order of the given batch."""
        if self.order is None:
            return values
        back = torch.empty_like(self.order)
        back[self.order] = torch.arange(len(back), device=back.device)
        return values[back]


class Stream(nn.Module):
    """Encoders by name, and the trunk that all tasks share.

    Args:
        encoders: From packed numbers of an observation, shape (n, size), to (n, width).
        trunk: From those features, and the task's context, to the features of the heads.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], trunk: Trunk) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.trunk = trunk

    def forward(
        self, inputs: Sequence[Tensor], names: Sequence[str], context: Tensor | None
    ) -> Tensor:
        """Compute features of a batch that is sorted by task.

        Args:
            inputs: Observations of each task that is there, shape (rows, size).
            names: The encoder of each.
            context: Of all rows, shape (n, c).

        Returns:
            Shape (n, trunk.out_features).
        """
        features = [self.encoders[name](x) for name, x in zip(names, inputs, strict=True)]
        joined = features[0] if len(features) == 1 else torch.cat(features)
        return self.trunk(joined, context)
