"""What a selector decided for a recipe with ``select``."""

from __future__ import annotations

from dataclasses import dataclass

from rltransfer.recipe import Recipe


@dataclass(frozen=True)
class Choice:
    """What ``auto`` measured, and what it decided.

    Attributes:
        recipe: The recipe to follow.
        score: Normalized zero-shot score on the target; nan if it was not measured.
        critic_fit: Explained variance of the source critic there; nan if unknown.
        steps: Environment steps on the target that this took; they count in the budget.
        reason: The decision in a sentence.
    """

    recipe: Recipe
    score: float
    critic_fit: float
    steps: int
    reason: str
