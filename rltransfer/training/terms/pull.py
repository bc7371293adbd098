"""Weights that are pulled towards values: the squared distances that many methods add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rltransfer.methods import Fading
from rltransfer.training.terms.closed import ByWeights, ClosedTerm
from rltransfer.training.terms.fading import FadingTerm
from rltransfer.training.terms.term import Batch


@dataclass(frozen=True, eq=False)
class Pulled:
    """One parameter that is pulled.

    Attributes:
        name: Its name.
        parameter: The parameter.
        towards: Where to: a tensor of its shape, or one number.
        weight: How strongly each entry is pulled: a tensor of its shape, or one number.
    """

    name: str
    parameter: Tensor
    towards: Tensor | float
    weight: Tensor | float = 1.0


class Pull(ClosedTerm):
    """Half the weighted squared distances of parameters from where they are pulled to.

    Args:
        name: Name in TensorBoard.
        pulled: The parameters.
    """

    def __init__(self, name: str, pulled: Sequence[Pulled]) -> None:
        self.name = name
        self.pull(pulled)

    def pull(self, pulled: Sequence[Pulled]) -> None:
        """Pull these parameters, and no others, from now on."""
        self._pulled = list(pulled)
        self._arrays = {one.name: (_array(one.towards), _array(one.weight)) for one in self._pulled}

    def loss(self, batch: Batch) -> Tensor:
        """Give half the weighted squared distances."""
        squares = ((one.weight * (one.parameter - one.towards) ** 2).sum() for one in self._pulled)
        return 0.5 * sum(squares, torch.zeros(()))

    def by_weights(self, weights: Mapping[str, np.ndarray]) -> ByWeights:
        """Give the same of the weights that train, with its gradients."""
        loss, gradients = 0.0, {}
        for name, weight in weights.items():
            if name in self._arrays:
                towards, strength = self._arrays[name]
                distance = weight - towards
                gradients[name] = strength * distance
                loss += 0.5 * float((gradients[name] * distance).sum())
        return loss, gradients


class FadingPull(FadingTerm, Pull):
    """The same with the strength of a method that fades.

    Args:
        method: The method.
        pulled: The parameters.
    """

    def __init__(self, method: Fading, pulled: Sequence[Pulled]) -> None:
        FadingTerm.__init__(self, method)
        Pull.__init__(self, method.name, pulled)


def _array(value: Tensor | float) -> np.ndarray | float:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
