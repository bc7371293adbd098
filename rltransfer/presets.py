"""Recipes with a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rltransfer.errors import BadArgument, RecipeError, UnknownName, suggest
from rltransfer.recipe import Recipe
from rltransfer.recipe_rules import TOP_DOWN

_PRESETS = {
    # Everything fresh: the control that every gain is measured against.
    "scratch": Recipe(
        reset=["*"], log_std="reset", obs_stats="reset", return_stats="reset", critic="reset"
    ),
    "full": Recipe(),
    "head": Recipe(freeze=["trunk"]),
    "gradual": Recipe(freeze=["trunk"], thaw=TOP_DOWN),
    "discriminative": Recipe(lr_decay=0.4),
    "auto": Recipe(select="zero_shot"),
}
PRESETS: Mapping[str, Recipe] = MappingProxyType(_PRESETS)


def recipe(name: str | Recipe) -> Recipe:
    """Return a preset by name, or read a recipe from a file; a recipe is returned as it is.

    Args:
        name: A recipe, the name of a preset, or a path that ends in ``.json``, of what
            :meth:`Recipe.to_json` gave.

    Raises:
        UnknownName: No preset has that name.
        BadArgument: It is neither a name nor a recipe, or there is no such file.
        RecipeError: The file holds no recipe.
    """
    if isinstance(name, Recipe):
        return name
    if not isinstance(name, str):
        raise BadArgument(f"recipe is {name!r}: give a Recipe, or one of {', '.join(PRESETS)}")
    if name.endswith(".json"):
        return _read(Path(name))
    if name not in PRESETS:
        raise UnknownName(suggest(name, PRESETS, kind="recipe"))
    return PRESETS[name]


def _read(path: Path) -> Recipe:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise BadArgument(f"recipe {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecipeError(f"recipe {path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path} is no JSON object of a recipe's fields")
    return Recipe.from_dict(data)
