"""Methods that keep a network able to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Method

__all__ = ["ReDo", "ShrinkPerturb", "SoftShrinkPerturb"]


@dataclass(frozen=True, kw_only=True)
class ShrinkPerturb(Method):
    """Shrink what was copied, and perturb it by fresh weights, once (Ash & Adams 2020).

    Each copied weight of a layer that trains becomes ``shrink * w + perturb * w_fresh`` before the
    first step. Half and half keeps the directions that the source found, and makes outputs
    less certain, so that the learner explores again. Standard deviations are no weights.

    Attributes:
        shrink: Factor on the source's weights, in [0, 1].
        perturb: Factor on the fresh ones, >= 0.
    """

    name: ClassVar[str] = "shrink_perturb"
    role: ClassVar[str] = "renew"
    shrink: float = 0.5
    perturb: float = 0.5

    def _check(self) -> None:
        self.in_range("shrink", least=0, most=1)
        self.in_range("perturb", least=0)


@dataclass(frozen=True, kw_only=True)
class SoftShrinkPerturb(Method):
    """Move a little towards fresh weights, after each update (Juliani & Ash 2024).

    After each update, weights become ``(1 - rate) * w + rate * w_fresh``, with fresh ones drawn
    anew each time. Standard deviations are no weights.

    Attributes:
        rate: In (0, 1). The paper's is 1e-6 after each step of the optimizer, for long sequences of
            tasks.
    """

    name: ClassVar[str] = "soft_shrink_perturb"
    role: ClassVar[str] = "renew"
    rate: float = 1e-3

    def _check(self) -> None:
        self.in_range("rate", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class ReDo(Method):
    """Start hidden units anew that do nothing (Sokar et al. 2023, algorithm 1).

    A unit of ReLU, LeakyReLU, GELU or SiLU is dormant where its mean ``|h|`` is at most
    ``tau`` times the layer's mean. A unit of tanh is never near zero for want of gradients; it is
    stuck where it says the same for all states, at one of its ends: ``|mean h| >= 1 - tau``. One
    that goes from end to end is a switch that works, and stays.

    Such a unit gets fresh incoming weights and outgoing weights of zero, and the optimizer forgets
    the moments of both. What it said on average goes into the biases behind it, so that
    outputs stay what they were. With state-dependent exploration (gSDE), whose noise is made of
    what the actor's last hidden units say, these stay as they are.

    Attributes:
        tau: Threshold, in [0, 1).
        every: Updates between two looks.
    """

    name: ClassVar[str] = "redo"
    role: ClassVar[str] = "renew"
    tau: float = 0.025
    every: int = 10

    def _check(self) -> None:
        self.in_range("tau", least=0, below=1)
        self.whole("every", 1)
