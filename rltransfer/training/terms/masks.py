"""Weights that train entry by entry."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rltransfer.errors import BadArgument
from rltransfer.training.terms.term import Term


class MaskTerm(Term):
    """Holds entries of weights where they are, whatever the optimizer does.

    Gradients of these entries are zeroed before they are clipped, so that they neither count in the
    norm nor feed Adam. That alone does not hold them: stale moments and weight decay move weights
    without a gradient. So their values are put back after every step, too.

    Args:
        name: Name in TensorBoard.
        parameters: The policy's parameters by name.
        masks: Of some of them, which entries train: True trains, False keeps the value that it has
            now. Booleans of the parameter's shape, or of one that broadcasts to it.

    Attributes:
        masks: The masks, each of its parameter's shape, on its device.

    Raises:
        BadArgument: A mask is for no parameter, holds no booleans, or has another shape.
    """

    def __init__(
        self, name: str, parameters: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> None:
        self.name = name
        self.masks = {key: _fitting(key, mask, parameters) for key, mask in masks.items()}
        self._parameters = {key: parameters[key] for key in masks}
        self._kept = {key: one.detach().clone() for key, one in self._parameters.items()}

    @property
    def held(self) -> int:
        """Number of entries that do not train."""
        return sum(int((~mask).sum()) for mask in self.masks.values())

    @property
    def withheld(self) -> int:
        """Those of them whose parameter would train."""
        masks = self.masks.items()
        return sum(int((~m).sum()) for key, m in masks if self._parameters[key].requires_grad)

    @torch.no_grad()
    def differentiated(self) -> None:
        """Zero gradients."""
        for key, parameter in self._parameters.items():
            if parameter.grad is not None:
                # Not a product, which would keep NaN.
                parameter.grad.masked_fill_(~self.masks[key], 0.0)

    @torch.no_grad()
    def stepped(self) -> None:
        """Put values back."""
        for key, parameter in self._parameters.items():
            parameter.copy_(torch.where(self.masks[key], parameter, self._kept[key]))

    def end(self) -> Mapping[str, float]:
        """Give the number of entries that are held."""
        return {"held": self.held}


def _fitting(key: str, mask: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    if key not in parameters:
        raise BadArgument(f"a mask is for {key!r}, which is no parameter of the policy")
    if mask.dtype != torch.bool:
        raise BadArgument(f"the mask of {key} holds {mask.dtype}: expected torch.bool")
    parameter = parameters[key]
    try:
        return mask.to(parameter.device).expand(parameter.shape)
    except RuntimeError as error:
        raise BadArgument(
            f"the mask of {key} has shape {tuple(mask.shape)}: expected {tuple(parameter.shape)}, "
            "or one that broadcasts to it"
        ) from error
