"""What tells the trunk its task, when tasks come and go.

Learned embeddings and vectors of sentences get or lose a row. One-hot codes have one number for
each task, so another number of tasks would change the shape of the trunk: they become the learned
embedding that begins with the same codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rltransfer.errors import BadArgument

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

#: Tensors of the context, by conditioning.
TENSORS = {"embedding": "context.table.weight", "sentence": "context.vectors"}


@dataclass(frozen=True)
class Context:
    """The contexts of all tasks.

    Attributes:
        kind: Conditioning of the policy, never ``"one-hot"``.
        rows: One for each task, shape (tasks, c); None for ``"heads"``, which has none.
    """

    kind: str
    rows: Tensor | None

    def with_row(self, vector: Sequence[float] | None, *, seed: int) -> Context:
        """Add a task.

        Args:
            vector: Its context; drawn from ``seed`` by default, with the length that those of the
                other tasks have on average.
            seed: Seed of the draw.

        Raises:
            BadArgument: The vector is needed and was not given, is not needed, or does not fit.
        """
        if self.rows is None:
            if vector is not None:
                raise BadArgument("vector is given, but nothing tells the trunk its task: drop it")
            return self
        size = self.rows.shape[1]
        if vector is None and self.kind == "sentence":
            raise BadArgument(
                f"the trunk is told its task by a sentence: give its vector of {size} numbers, such"
                " as vector=rltransfer.policies.sentences.embed(['...'])[0]"
            )
        row = _drawn(self.rows, seed) if vector is None else _checked(vector, size)
        return replace(self, rows=torch.cat([self.rows, row[None].to(self.rows)]))

    def without_row(self, index: int) -> Context:
        """Drop a task."""
        if self.rows is None:
            return self
        return replace(self, rows=torch.cat([self.rows[:index], self.rows[index + 1 :]]))

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the policy's context, by name."""
        return {} if self.rows is None else {TENSORS[self.kind]: self.rows}

    def arguments(self) -> dict[str, Any]:
        """The policy's arguments about its context."""
        if self.rows is None:
            return {"conditioning": "heads"}
        size, vectors = {"size": self.rows.shape[1]}, {"vectors": self.rows.tolist()}
        given = size if self.kind == "embedding" else vectors
        return {"conditioning": self.kind, "conditioning_kwargs": given}


def of(agent: Agent) -> Context:
    """The context of a multi-task agent's policy."""
    kind = agent.policy_kwargs.get("conditioning", "heads")
    if kind == "one-hot":
        return Context("embedding", torch.eye(len(agent.tasks)))
    return Context(kind, agent.weights[TENSORS[kind]] if kind in TENSORS else None)


def _drawn(rows: Tensor, seed: int) -> Tensor:
    draw = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(seed))
    return draw / draw.norm() * rows.norm(dim=1).mean()


def _checked(vector: Sequence[float], size: int) -> Tensor:
    row = torch.tensor([float(number) for number in vector])
    if len(row) != size or not torch.isfinite(row).all():
        raise BadArgument(f"vector has {len(row)} numbers: give {size} finite ones")
    return row
