"""What every trunk is: numbered layers between the encoders of the tasks and their heads."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import nn

from rltransfer.errors import BadArgument


class Trunk(nn.Module):
    """Layers that all tasks share.

    A subclass fills ``layers`` so that each of its parameters lies in exactly one entry: entry N is
    the layer group ``trunk.N``, which can be frozen, copied and reset on its own. Weights lie in
    linear layers, so that stable-baselines3's ``init_weights`` can make them orthogonal.

    Args:
        in_features: Numbers per row that come from an encoder.
        context_features: Numbers per row that say which task it is of; 0 for none.

    Attributes:
        out_features: Numbers per row that go to the heads.
        layers: The layer groups, in order.
        needs_context: Whether the trunk cannot work without a context.

    Raises:
        BadArgument: A number is out of range, or the context is missing.
    """

    needs_context: ClassVar[bool] = False
    out_features: int
    layers: nn.ModuleList

    def __init__(self, in_features: int, context_features: int = 0) -> None:
        super().__init__()
        self.in_features = whole("in_features", in_features)
        self.context_features = whole("context_features", context_features, least=0)
        if self.needs_context and not self.context_features:
            raise BadArgument(
                f"{type(self).__name__} mixes its parts by task and got no context: give the "
                "policy a task context, or take the 'mlp' trunk"
            )

    def forward(self, features: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Compute what the heads see.

        Args:
            features: Output of an encoder, shape (n, in_features).
            context: Which task each row is of, shape (n, context_features); None where that is 0.

        Returns:
            Shape (n, out_features).

        Raises:
            BadArgument: A context is given to a trunk without one, or the other way round.
        """
        raise NotImplementedError

    def _checked(self, context: torch.Tensor | None) -> torch.Tensor | None:
        if (context is None) != (self.context_features == 0):
            given = "none" if context is None else f"one of shape {tuple(context.shape)}"
            raise BadArgument(
                f"the trunk was built for a context of {self.context_features} numbers and got "
                f"{given}: build it with the context_features that it is called with"
            )
        return context


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """Check a whole number.

    Raises:
        BadArgument: It is none, or smaller than ``least``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise BadArgument(f"{name} is {value!r:.60}: give a whole number, at least {least}")
    return number


def widths(name: str, values: Any) -> tuple[int, ...]:
    """Check the widths of layers.

    Raises:
        BadArgument: They are no sequence of whole numbers, at least 1 each.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise BadArgument(f"{name} is {values!r:.60}: give a list of widths, such as [64, 64]")
    return tuple(whole(f"{name}[{i}]", value) for i, value in enumerate(values))
