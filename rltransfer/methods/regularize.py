"""Methods that keep weights small, near to where they began, or outputs smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Fading

__all__ = ["L2SP"]


@dataclass(frozen=True, kw_only=True)
class L2SP(Fading):
    """Squared distance from the source's weights (Li et al. 2018, equation 3).

    Adds ``strength / 2 * |w - w_source|^2`` over the copied weights of trunk and actor, and
    ``fresh / 2 * |w|^2`` over those that started fresh. The critic is left alone: keeping it back
    hurts (Wołczyk et al. 2024, appendix).

    Attributes:
        strength: Factor on the copied weights.
        fresh: Factor on the fresh ones, >= 0.
    """

    name: ClassVar[str] = "l2_sp"
    role: ClassVar[str] = "regularize"
    strength: float = 0.01
    fresh: float = 1e-4

    def _check(self) -> None:
        super()._check()
        self.in_range("fresh", least=0)
