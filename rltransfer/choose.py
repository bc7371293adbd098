"""Choosing a recipe: which selector each value of ``Recipe.select`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from rltransfer.choice import Choice
from rltransfer.selectors.auto import by_table
from rltransfer.selectors.evidence import Evidence
from rltransfer.selectors.similarity import by_similarity
from rltransfer.selectors.zero_shot import by_zero_shot

__all__ = ["SELECTORS", "Choice", "Evidence", "Selector", "choose"]

Selector = Callable[[Evidence], Choice]
"""From what can be known of a source and a target to the recipe to follow."""

SELECTORS: Mapping[str, Selector] = MappingProxyType(
    {"auto": by_table, "zero_shot": by_zero_shot, "similarity": by_similarity}
)
"""Selectors by the value of ``Recipe.select``, all of :data:`recipe_rules.SELECT` but None."""


def choose(evidence: Evidence) -> Choice:
    """Let the selector that the wanted recipe names choose.

    Raises:
        TransferError: It lacks what it needs.
    """
    return SELECTORS[evidence.wanted.select or ""](evidence)
