"""What the fields of a recipe may hold, and which of them contradict each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rltransfer.errors import RecipeError
from rltransfer.finite import is_finite

TOP_DOWN = "top_down"
BOTTOM_UP = "bottom_up"
SEQUENCES = ("freeze", "reset", "inputs", "outputs")
MAPPINGS = ("thaw", "lr_scale")
SELECT = (None, "auto", "zero_shot", "similarity")
REALS = ("thaw_by", "lr_decay", "temperature", "obs_count", "log_std")


def check_kinds(recipe: Any) -> None:
    """Refuse fields that are not lists, mappings or booleans where they should be."""
    for name in SEQUENCES:
        value = getattr(recipe, name)
        if isinstance(value, str):
            raise RecipeError(f"{name}={value!r} is a string: write {name}=[{value!r}]")
        optional = name in ("inputs", "outputs") and value is None
        if not optional and not isinstance(value, Sequence):
            raise RecipeError(f"{name} is {value!r}: expected a list")
    for name in MAPPINGS:
        value = getattr(recipe, name)
        word = name == "thaw" and isinstance(value, str)
        if not word and not isinstance(value, Mapping):
            raise RecipeError(f"{name} is {value!r}: expected a mapping of layer groups to numbers")
    if not isinstance(recipe.pad_inputs, bool):
        raise RecipeError(f"pad_inputs is {recipe.pad_inputs!r}: expected True or False")


def check_patterns(recipe: Any) -> None:
    """Refuse patterns and indices of the wrong kind."""
    for name in ("freeze", "reset"):
        patterns = getattr(recipe, name)
        for pattern in patterns:
            _check_pattern(name, pattern)
        if patterns and patterns[0].startswith("!"):
            raise RecipeError(
                f"{name} takes {patterns[0]!r} out of nothing: write {name}="
                f"{['*', *patterns]!r} for all but these"
            )
    for name in MAPPINGS:
        value = getattr(recipe, name)
        for pattern in value if isinstance(value, Mapping) else ():
            _check_pattern(name, pattern)
            if pattern.startswith("!"):
                raise RecipeError(f"{name} names {pattern!r}: name the layer groups it is for")
    for name in ("inputs", "outputs"):
        _check_indices(name, getattr(recipe, name))


def _check_pattern(name: str, pattern: Any) -> None:
    if not isinstance(pattern, str) or not pattern.removeprefix("!").strip("! "):
        raise RecipeError(f"{name} holds {pattern!r}: expected names of layer groups")


def _check_indices(name: str, indices: Sequence[int | None] | None) -> None:
    for index in indices or ():
        whole = isinstance(index, int) and not isinstance(index, bool) and index >= 0
        if index is not None and not whole:
            raise RecipeError(f"{name} holds {index!r}: expected indices from 0, or None")


def check_numbers(recipe: Any) -> None:
    """Refuse numbers out of range."""
    if not isinstance(recipe.thaw, str):
        for group, at in recipe.thaw.items():
            _check_range(f"thaw[{group!r}]", at, above=0, below=1)
    for group, scale in recipe.lr_scale.items():
        _check_range(f"lr_scale[{group!r}]", scale, above=0)
    _check_range("thaw_by", recipe.thaw_by, above=0, below=1)
    _check_range("lr_decay", recipe.lr_decay, above=0, upto=1)
    _check_range("temperature", recipe.temperature, above=0)
    _check_range("obs_count", recipe.obs_count, above=0)
    if type(recipe.refit_rollouts) is not int or recipe.refit_rollouts < 1:
        raise RecipeError(f"refit_rollouts is {recipe.refit_rollouts!r}: expected an integer >= 1")


def _check_range(
    name: str, value: Any, *, above: float, below: float = math.inf, upto: float = math.inf
) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)
    if not number or not (above < value < below) or value > upto:
        top = f"{below:g})" if below < math.inf else f"{upto:g}]" if upto < math.inf else "inf)"
        raise RecipeError(f"{name} is {value!r}: expected a number in ({above:g}, {top}")


_CHOICES = {
    "optimizer": ("fresh", "source"),
    "obs_stats": ("copy", "freeze", "reset"),
    "return_stats": ("auto", "copy", "reset"),
    "critic": ("auto", "keep", "reset", "refit"),
    "select": SELECT,
}


def check_choices(recipe: Any) -> None:
    """Refuse words that are none of the choices."""
    for name, allowed in _CHOICES.items():
        value = getattr(recipe, name)
        if value not in allowed:
            listed = ", ".join(repr(choice) for choice in allowed)
            raise RecipeError(f"{name} is {value!r}: expected one of {listed}")
    if isinstance(recipe.thaw, str) and recipe.thaw not in (TOP_DOWN, BOTTOM_UP):
        raise RecipeError(
            f"thaw is {recipe.thaw!r}: expected {TOP_DOWN!r}, {BOTTOM_UP!r} or a mapping "
            "of layer groups to fractions of training"
        )
    if isinstance(recipe.log_std, str):
        if recipe.log_std not in ("copy", "reset"):
            raise RecipeError(
                f"log_std is {recipe.log_std!r}: expected 'copy', 'reset', or a floor such as -0.7"
            )
    else:
        _check_range("log_std", recipe.log_std, above=-math.inf)


def check_contradictions(recipe: Any, default: Any) -> None:
    """Refuse fields that say nothing, or the opposite of each other.

    Args:
        recipe: The recipe.
        default: The default recipe.
    """
    if recipe.thaw and not recipe.freeze:
        raise RecipeError("thaw is given but freeze is empty: name the frozen groups in freeze")
    if recipe.thaw_by != default.thaw_by and not isinstance(recipe.thaw, str):
        raise RecipeError(
            f"thaw_by={recipe.thaw_by!r} is for thaw={TOP_DOWN!r} or {BOTTOM_UP!r}: give one of "
            "these, or drop thaw_by"
        )
    if recipe.pad_inputs and recipe.inputs is not None:
        raise RecipeError("pad_inputs and inputs are both given: keep one of them")
    if recipe.refit_rollouts != default.refit_rollouts and recipe.critic in ("keep", "reset"):
        raise RecipeError(
            f"refit_rollouts={recipe.refit_rollouts} is for critic='refit', and critic is "
            f"{recipe.critic!r}: drop one of the two"
        )
    _check_growth(recipe)
    _check_measured(recipe)


def _check_growth(recipe: Any) -> None:
    names = [type(one).__name__ for one in recipe.grow]
    if len(names) > 1:
        raise RecipeError(f"grow has {' and '.join(names)}: keep one of them")
    for role in ("renew", "imitate"):
        others = getattr(recipe, role)
        if names and others:
            raise RecipeError(
                f"{role} has {type(others[0]).__name__}, which changes weights that {names[0]} "
                "holds: drop one of the two"
            )


def _check_measured(recipe: Any) -> None:
    measured = [one for one in recipe.methods if getattr(one, "fade", None) == "performance"]
    guides = [type(one).__name__ for one in recipe.guide if one.name == "jump_start"]
    if measured and guides:
        raise RecipeError(
            f"{type(measured[0]).__name__}(fade='performance') compares episodes of the learner "
            f"with the source's, and with {guides[0]} the source plays in both: choose another fade"
        )
