"""The plain trunk: one multilayer perceptron for all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from rltransfer.errors import BadArgument
from rltransfer.policies.trunks.base import Trunk, widths


class MlpTrunk(Trunk):
    """Linear layers with an activation after each; layer N is the layer group ``trunk.N``.

    The context, if any, is appended to the features in front of the first layer.

    Args:
        in_features: Numbers per row that come from an encoder.
        context_features: Numbers per row that say which task it is of; 0 for none.
        sizes: Width of each layer. None at all: the features pass unchanged.
        activation_fn: Class of the activation.

    Raises:
        BadArgument: A number is out of range, or a context is given to no layers.
    """

    def __init__(
        self,
        in_features: int,
        context_features: int = 0,
        *,
        sizes: Sequence[int] = (64,),
        activation_fn: type[nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__(in_features, context_features)
        checked = widths("sizes", sizes)
        if context_features and not checked:
            raise BadArgument(
                "sizes is empty: without layers the trunk cannot use its task context. "
                "Give at least one width, such as [64], or no context"
            )
        ends = (self.in_features + self.context_features, *checked)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(before, after), activation_fn())
            for before, after in pairwise(ends)
        )
        self.out_features = ends[-1]

    def forward(self, features: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """See :meth:`Trunk.forward`."""
        told = self._checked(context)
        if told is not None:
            features = torch.cat([features, told], dim=1)
        for layer in self.layers:
            features = layer(features)
        return features
