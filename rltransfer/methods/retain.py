"""Methods that keep a learner close to what its source does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rltransfer.methods.method import Fade, Fading

__all__ = ["Kickstart"]


@dataclass(frozen=True, kw_only=True)
class Kickstart(Fading):
    """KL divergence from the source in the states that the learner visits (Schmitt et al. 2018).

    Adds ``strength * E_{s ~ learner} KL(source(.|s) || learner(.|s))``. The source sees
    observations through its own normalization statistics. Works where the source is good in the
    states that the learner visits now; it fails where it is good only later in an episode.

    Attributes:
        strength: 0.5 as in Schmitt et al.'s successors on NetHack.
        fade: Exponential by default, so that the learner may become better than its source.
        until: 0.4 of training, for small budgets.
    """

    name: ClassVar[str] = "kickstart"
    role: ClassVar[str] = "retain"
    strength: float = 0.5
    fade: Fade = "exponential"
    until: float = 0.4
