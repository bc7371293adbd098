"""How the strength of a method fades."""

from __future__ import annotations

from rltransfer.methods import Fading
from rltransfer.training.terms.term import Seen, Term

LEFT = 0.05
"""Of an exponentially fading strength, what is left at ``until``."""


def faded(method: Fading, progress: float, ratio: float = 0.0) -> float:
    """Strength of a method at a moment.

    Args:
        method: The method.
        progress: Fraction of training done, in [0, 1].
        ratio: What the learner's episodes return above random, over what the source's return.
    """
    if progress >= method.until and method.until < 1:
        return 0.0
    share = progress / method.until
    factors = {
        "constant": 1.0,
        "linear": 1.0 - share,
        "exponential": LEFT**share,
        "performance": max(0.0, 1.0 - ratio),
    }
    return method.strength * factors[method.fade]


class FadingTerm(Term):
    """A term with a strength that fades.

    Args:
        method: The method.
    """

    def __init__(self, method: Fading) -> None:
        self.name = method.name
        self._fading = method

    def begin(self, seen: Seen) -> None:
        """Set the strength."""
        self.strength = faded(self._fading, seen.progress, seen.ratio)
