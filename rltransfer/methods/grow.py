"""Methods that add weights to the source's network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Method

__all__ = ["LoRA", "Progressive", "Residual"]


@dataclass(frozen=True, kw_only=True)
class Residual(Method):
    """A learnt correction of what the source does (Silver et al. 2018; Johannink et al. 2019).

    Logits, or means of actions, become ``source(s) + correction(s)``. The correction is a network
    as deep as the source's actor, whose last layer begins at zero, so that training begins with
    what the source does. The source's layers are frozen; the critic is the source's own network,
    copied as the recipe says, and trains as always. Works where the source is decent everywhere; a
    source that is confidently wrong has to be corrected by large outputs.

    What is saved is one ordinary network whose hidden layers hold both side by side, with zeros
    between them.

    Attributes:
        width: Units of each hidden layer of the correction.
    """

    name: ClassVar[str] = "residual"
    role: ClassVar[str] = "grow"
    width: int = 64

    def _check(self) -> None:
        self.whole("width", 1)


@dataclass(frozen=True, kw_only=True)
class Progressive(Method):
    """A second column of layers that reads the source's frozen ones (Rusu et al. 2016).

    Every new layer reads the new layer below it and, laterally, the source's layer below it
    (equation 1). The new head reads both columns; it begins as the source's head, with zeros for
    the new column, so that training begins with what the source does, and trains as a whole. The
    critic is treated as by :class:`Residual`.

    The laterals are linear, where the paper has adapters with a nonlinearity and a learnt scale
    (equation 2): so what is saved is one ordinary network of wider layers.

    Attributes:
        width: Units of each hidden layer of the new column.
    """

    name: ClassVar[str] = "progressive"
    role: ClassVar[str] = "grow"
    width: int = 64

    def _check(self) -> None:
        self.whole("width", 1)


@dataclass(frozen=True, kw_only=True)
class LoRA(Method):
    """Changes of low rank to the source's weights (Hu et al. 2021, section 4.1).

    Each copied matrix of trunk and actor becomes ``W_source + alpha / rank * B A``, with ``B`` of
    shape (outputs, rank), which begins at zero, and ``A`` of shape (rank, inputs). Copied biases
    stay; the critic, the standard deviation and layers that start fresh train in full. Works for
    targets that are near; hard shifts need more than it can do.

    What is saved are the sums, as ordinary weights.

    Attributes:
        rank: Largest rank of a change. A matrix with fewer rows or columns takes only as many.
        alpha: Its scale, > 0, divided by ``rank`` as given, also where a matrix takes less.
        lr_scale: Factor on the learning rate for ``A`` and ``B``, > 0, which take more than whole
            matrices do (Schulman et al. 2025, "LoRA Without Regret": about ten times).
    """

    name: ClassVar[str] = "lora"
    role: ClassVar[str] = "grow"
    rank: int = 4
    alpha: float = 8.0
    lr_scale: float = 10.0

    def _check(self) -> None:
        self.whole("rank", 1)
        self.in_range("alpha", above=0)
        self.in_range("lr_scale", above=0)
