"""Mixture of orthogonal experts: tasks weigh representations that are kept different."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import nn

from rltransfer.errors import BadArgument
from rltransfer.policies.trunks.base import Trunk, whole, widths


class MooreTrunk(Trunk):
    """Experts whose outputs are made orthonormal for each row, then added up with task weights.

    ``features = act(sum_k w_k(context) u_k)`` with u the Gram-Schmidt basis of the experts'
    outputs. The experts' last layer is linear: the only activation behind it follows the sum, as
    in the authors' code. The layer groups are ``trunk.0`` to ``trunk.(len(sizes) - 1)``, one for
    that layer of all experts, then ``trunk.len(sizes)``, the weights by task.

    Args:
        in_features: Numbers per row that come from an encoder.
        context_features: Numbers per row that say which task it is of.
        experts: How many experts; the paper has 2, 3 and 4 for 3, 5 and 7 tasks.
        sizes: Width of each layer of each expert.
        activation_fn: Class of the activation.

    Raises:
        BadArgument: A number is out of range, there is no context, or there are more experts than
            vectors of the last width can be orthogonal.

    Source: Hendawy et al. 2024, "Multi-task reinforcement learning with mixture of orthogonal
    experts" (MOORE), arXiv 2311.11385, section 4.
    """

    needs_context: ClassVar[bool] = True

    def __init__(
        self,
        in_features: int,
        context_features: int = 0,
        *,
        experts: int = 2,
        sizes: Sequence[int] = (64,),
        activation_fn: type[nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__(in_features, context_features)
        ends = (self.in_features, *widths("sizes", sizes))
        if len(ends) == 1:
            raise BadArgument("sizes is empty: give the experts at least one width, such as [64]")
        if whole("experts", experts) > ends[-1]:
            raise BadArgument(
                f"experts is {experts}, and no more than {ends[-1]} vectors of that many numbers "
                f"can be orthogonal: give at most {ends[-1]} experts, or a larger last size"
            )
        # The last layer's outputs are made orthonormal first, and activated once they are mixed.
        after = [activation_fn] * (len(ends) - 2) + [nn.Identity]
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.Linear(*width), kind()) for _ in range(experts))
            for width, kind in zip(pairwise(ends), after, strict=True)
        )
        self.layers.append(TaskWeights(self.context_features, experts, activation_fn))
        self.out_features = ends[-1]

    def forward(self, features: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """See :meth:`Trunk.forward`."""
        self._checked(context)
        return self.layers[-1](gram_schmidt(self.represent(features)), context)

    def represent(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the experts' outputs before they are made orthonormal.

        Args:
            features: Output of an encoder, shape (n, in_features).

        Returns:
            Shape (n, experts, out_features).
        """
        *hidden, _ = cast(Iterable[nn.ModuleList], self.layers)
        outputs = [features] * len(hidden[0])
        for layer in hidden:
            outputs = [expert(given) for expert, given in zip(layer, outputs, strict=True)]
        return torch.stack(outputs, dim=1)


class TaskWeights(nn.Module):
    """Adds up the experts by weights that depend on the task alone."""

    def __init__(self, context: int, experts: int, activation_fn: type[nn.Module]) -> None:
        super().__init__()
        self.linear = nn.Linear(context, experts, bias=False)
        self.activation = activation_fn()

    def forward(self, basis: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Mix a basis, shape (n, experts, d), for tasks, shape (n, context); returns (n, d)."""
        weights = self.linear(context).unsqueeze(1)
        return self.activation((weights @ basis).squeeze(1))


def gram_schmidt(vectors: torch.Tensor) -> torch.Tensor:
    """Make each row's vectors orthonormal, in their order (modified Gram-Schmidt).

    A vector that is zero, or depends on those before it, has no direction of its own: it becomes
    almost zero instead of a unit vector, and its gradient stays finite.

    Args:
        vectors: Shape (n, k, d), k <= d.

    Returns:
        The basis, shape (n, k, d).
    """
    # Less than this of its length left, what is left is mostly rounding.
    least = torch.finfo(vectors.dtype).eps
    basis, rest = [], vectors
    lengths = vectors.square().sum(dim=-1, keepdim=True)
    for k in range(vectors.shape[1]):
        first, rest, length = rest[:, :1], rest[:, 1:], lengths[:, k : k + 1]
        square = first.square().sum(dim=-1, keepdim=True)
        unit = first / torch.where(square > least * length, square, length + 1).sqrt()
        rest = rest - (rest * unit).sum(dim=-1, keepdim=True) * unit
        basis.append(unit)
    return torch.cat(basis, dim=1)
