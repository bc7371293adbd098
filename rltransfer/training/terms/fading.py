"""How the strength of a method fades."""

from __future__ import annotations

import warnings

from rltransfer.methods import Fading
from rltransfer.training.terms.term import Seen, Term

LEFT = 0.05
"""Of an exponentially fading strength, what is left at ``until``."""


def faded(method: Fading, progress: float, ratio: float = 0.0) -> float:
    """Strength of a method at a moment.

    Args:
        method: The method.
        progress: Fraction of training done; above 1 after the rollout that exceeds the budget.
        ratio: What the learner's episodes return above random, over what the source's return.
    """
    if is_over(method, progress):
        return 0.0
    share = min(progress / method.until, 1.0)
    factors = {
        "constant": 1.0,
        "linear": 1.0 - share,
        "exponential": LEFT**share,
        "performance": min(max(0.0, 1.0 - ratio), 1.0),
    }
    return method.strength * factors[method.fade]


def is_over(method: Fading, progress: float) -> bool:
    """Whether a method has come to its end, if it has one before that of training."""
    return method.until < 1 and progress >= method.until


class FadingTerm(Term):
    """A term with a strength that fades.

    Args:
        method: The method.
    """

    def __init__(self, method: Fading) -> None:
        self.name = method.name
        self._fading = method

    def begin(self, seen: Seen) -> None:
        """Set the strength; warn if it is 0 before anything was learnt."""
        self.strength = faded(self._fading, seen.progress, seen.ratio)
        if is_over(self._fading, seen.progress) and not seen.model._n_updates:
            warnings.warn(
                f"{self.name} does nothing: its until={self._fading.until:g} of training is over "
                f"before the first update, after {seen.progress:.0%} of it; train for longer, "
                "collect shorter rollouts, or give a larger until",
                stacklevel=2,
            )
