"""Methods of transfer on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from rltransfer.errors import RecipeError
from rltransfer.methods import METHODS, Method, method_from
from rltransfer.recipe import Recipe


def with_methods(recipe: Recipe, texts: Sequence[str]) -> Recipe:
    """Add methods to a recipe.

    Args:
        recipe: The recipe.
        texts: Each ``NAME`` or ``NAME:FIELD=VALUE,FIELD=VALUE``.

    Raises:
        UnknownName: A method or field does not exist.
        RecipeError: A value is out of range.
    """
    for text in texts:
        method = _method(text)
        recipe = recipe.but(**{method.role: [*getattr(recipe, method.role), method]})
    return recipe


def listed() -> list[tuple[str, ...]]:
    """Name, field of the recipe, defaults and first line of the documentation of each method."""
    return [
        (name, kind.role, _defaults(kind), (kind.__doc__ or "").splitlines()[0])
        for name, kind in METHODS.items()
    ]


def shown(name: str) -> str:
    """What there is to say about a method, by its name or its class's; empty if there is none."""
    kinds = {**METHODS, **{kind.__name__: kind for kind in METHODS.values()}}
    if name not in kinds:
        return ""
    kind = kinds[name]
    made = f"{kind.__name__}({_defaults(kind)})"
    return f"method {kind.name}: Recipe({kind.role}={made})\n{kind.__doc__}"


def _method(text: str) -> Method:
    name, _, rest = text.partition(":")
    given: dict[str, Any] = {}
    for part in _parts(rest) if rest else []:
        field, value = _field(part)
        if field in given:
            raise RecipeError(f"{text!r} gives {field} twice: keep one of them")
        given[field] = value
    return method_from({"method": name, **given})


def _parts(text: str) -> list[str]:
    """Split at the commas that are within neither brackets nor quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f"{text!r}: expected FIELD=VALUE, such as strength=0.1")
    words = {"True": True, "False": False, "None": None}
    if value in words:
        return name, words[value]
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _defaults(kind: type[Method]) -> str:
    given = [(one.name, one.default) for one in fields(kind)]
    return ", ".join(name if value is MISSING else f"{name}={value!r}" for name, value in given)
