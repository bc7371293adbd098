"""Soft modularization: each task mixes the modules of each layer in its own way."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import ClassVar, cast

import torch
from torch import nn

from rltransfer.policies.trunks.base import Trunk, whole


class SoftModularTrunk(Trunk):
    """Layers of modules, and a routing network that weighs the ways between them.

    Module i of layer l + 1 sees ``g_i = sum_j p_ij act(W_j g_j)`` over the modules j of layer l,
    with weights ``p_i`` that sum to 1. The layer groups are ``trunk.0`` to ``trunk.(layers - 1)``,
    one for all modules of a layer, then ``trunk.layers``, the whole routing network.

    Args:
        in_features: Numbers per row that come from an encoder.
        context_features: Numbers per row that say which task it is of.
        layers: Layers of modules.
        modules: Modules in each layer.
        width: Width of each module.
        gating_width: Width of the routing network.
        activation_fn: Class of the modules' activation; the routing network has ReLU.

    Raises:
        BadArgument: A number is out of range, or there is no context.

    Source: Yang et al. 2020, "Multi-task reinforcement learning with soft modularization", eq. 3-7.
    Two choices are those of the authors' code rather than of the equations, as heads follow here
    rather than the outputs themselves: the last layer has an activation, and its modules are
    weighed by the routing network too, where eq. 7 adds them up.
    """

    needs_context: ClassVar[bool] = True

    def __init__(
        self,
        in_features: int,
        context_features: int = 0,
        *,
        layers: int = 2,
        modules: int = 2,
        width: int = 64,
        gating_width: int = 64,
        activation_fn: type[nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__(in_features, context_features)
        self.out_features = whole("width", width)
        ends = [self.in_features] + [self.out_features] * whole("layers", layers)
        whole("modules", modules)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(nn.Linear(before, after), activation_fn()) for _ in range(modules)
            )
            for before, after in itertools.pairwise(ends)
        )
        self.layers.append(
            Router(self.in_features, self.context_features, layers, modules, gating_width)
        )

    def forward(self, features: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """See :meth:`Trunk.forward`."""
        inputs = itertools.repeat(features)
        mixed = features.unsqueeze(1)
        for modules, weights in zip(self.layers, self.routing(features, context), strict=False):
            parts = zip(cast(Iterable[nn.Module], modules), inputs, strict=False)
            outputs = torch.stack([module(part) for module, part in parts], dim=1)
            mixed = weights @ outputs
            inputs = mixed.unbind(dim=1)
        return mixed.squeeze(1)

    def routing(
        self, features: torch.Tensor, context: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        """Compute how each layer's outputs are mixed for each row.

        Args:
            features: Output of an encoder, shape (n, in_features).
            context: Which task each row is of, shape (n, context_features).

        Returns:
            Weights after each layer, shape (n, modules of the next layer, modules); (n, 1, modules)
            after the last. They sum to 1 along the last axis.
        """
        return self.layers[-1](features, self._checked(context))


class Router(nn.Module):
    """Weights of the ways between modules, from what is seen and which task it is (eq. 3-5)."""

    def __init__(self, features: int, context: int, layers: int, modules: int, width: int) -> None:
        super().__init__()
        whole("gating_width", width)
        self.features = nn.Linear(features, width)
        self.context = nn.Linear(context, width)
        self.ups = nn.ModuleList(nn.Linear(modules**2, width) for _ in range(layers - 1))
        ends = [modules**2] * (layers - 1) + [modules]
        self.downs = nn.ModuleList(nn.Linear(width, end) for end in ends)
        self.modules_per_layer = modules

    def forward(self, features: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the weights after each layer; see :meth:`SoftModularTrunk.routing`."""
        embedding = self.features(features) * self.context(context)
        hidden, weights = embedding, []
        for layer, down in enumerate(self.downs):
            if layer:
                hidden = self.ups[layer - 1](weights[-1].flatten(1)) * embedding
            logits = down(torch.relu(hidden)).unflatten(1, (-1, self.modules_per_layer))
            weights.append(logits.softmax(dim=-1))
        return tuple(weights)
