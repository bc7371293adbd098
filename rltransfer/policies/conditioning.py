"""Task conditioning: what tells a trunk which task it is computing for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rltransfer.errors import BadArgument, UnknownName, suggest

CONDITIONINGS = ("heads", "one-hot", "embedding", "sentence")


class OneHot(nn.Module):
    """Each task's own unit vector.

    Args:
        count: Number of tasks.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.size = count

    def forward(self, index: Tensor, like: Tensor) -> Tensor:
        """Codes of task indices, shape (n,), in the dtype of ``like``."""
        return nn.functional.one_hot(index, self.size).to(like.dtype)


class Embedding(nn.Module):
    """A learned vector for each task.

    Args:
        count: Number of tasks.
        size: Numbers of a vector.
    """

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.table = nn.Embedding(count, size)

    def forward(self, index: Tensor, like: Tensor) -> Tensor:
        """Vectors of task indices, shape (n,)."""
        return self.table(index).to(like.dtype)


class SentenceEmbedding(nn.Module):
    """A fixed vector for each task, made of its mission string, which nothing trains.

    The vectors are stored with the weights: a policy that is loaded needs no language model.

    Args:
        vectors: One for each task, of equal length.
    """

    vectors: Tensor

    def __init__(self, vectors: Sequence[Sequence[float]]) -> None:
        super().__init__()
        table = torch.tensor([[float(x) for x in row] for row in vectors])
        self.size = table.shape[1]
        self.register_buffer("vectors", table)

    def forward(self, index: Tensor, like: Tensor) -> Tensor:
        """Vectors of task indices, shape (n,)."""
        return self.vectors[index].to(like.dtype)


def make_conditioning(
    kind: str, count: int, *, size: int | None = None, vectors: Any = None
) -> nn.Module | None:
    """Make the conditioning of a policy.

    Args:
        kind: ``"heads"`` for none but the heads, ``"one-hot"``, ``"embedding"`` or ``"sentence"``.
        count: Number of tasks.
        size: Numbers of a learned embedding; 8 by default.
        vectors: Sentence embeddings, one for each task.

    Raises:
        UnknownName: There is no such kind.
        BadArgument: An option is missing, superfluous or outside its range.
    """
    if kind not in CONDITIONINGS:
        raise UnknownName(suggest(str(kind), CONDITIONINGS, kind="conditioning"))
    if size is not None and kind != "embedding":
        raise BadArgument(f"size is for conditioning='embedding', and conditioning is {kind!r}")
    if vectors is not None and kind != "sentence":
        raise BadArgument(f"vectors are for conditioning='sentence', and conditioning is {kind!r}")
    if kind == "heads":
        return None
    if kind == "one-hot":
        return OneHot(count)
    if kind == "embedding":
        return Embedding(count, _checked_size(8 if size is None else size))
    return SentenceEmbedding(_checked_vectors(vectors, count))


def _checked_size(size: Any) -> int:
    if type(size) is not int or size < 1:
        raise BadArgument(f"size of the embedding is {size!r}: give a whole number >= 1")
    return size


def _checked_vectors(vectors: Any, count: int) -> Any:
    if vectors is None or len(vectors) != count or len({len(row) for row in vectors}) != 1:
        raise BadArgument(
            f"conditioning='sentence' needs one vector of equal length for each of {count} tasks: "
            "see rltransfer.policies.sentences.embed"
        )
    return vectors
