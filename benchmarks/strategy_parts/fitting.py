"""Making a strategy fit a pair whose spaces differ, and telling where it cannot."""

from __future__ import annotations

from rltransfer.errors import RecipeError, SpaceMismatch, TransferError
from rltransfer.recipe import Recipe
from rltransfer.transfer import adapt
from strategy_parts.pairs import Setup


def fitted(recipe: Recipe, setup: Setup) -> Recipe | str:
    """Let what cannot be carried over start fresh, as a user would after the error message.

    Args:
        recipe: The strategy.
        setup: The pair.

    Returns:
        The recipe to run; or why the strategy does not apply to this pair.
    """
    error: TransferError | None = None
    for fresh in ((), ("actor.head",), ("actor.head", "actor.std")):
        try:
            chosen = recipe.but(reset=[*recipe.reset, *fresh])
            _try(chosen, setup)
            return chosen
        except (SpaceMismatch, RecipeError, TransferError) as found:
            error = error if isinstance(error, RecipeError) else found
    return str(error)


def _try(recipe: Recipe, setup: Setup) -> None:
    model = adapt(setup.sources[0], setup.pair.target, recipe, seed=0, vec="sync")
    venv = model.get_env()
    if venv is not None:
        venv.close()
