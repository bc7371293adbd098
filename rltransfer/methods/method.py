"""What all methods of transfer have in common as data: checks, and a way to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from rltransfer.errors import RecipeError, UnknownName, suggest
from rltransfer.finite import is_finite

ROLES = ("retain", "regularize", "align", "guide", "grow", "renew", "imitate")
"""Fields of a recipe that take methods."""
Fade = Literal["constant", "linear", "exponential", "performance"]

_METHODS: dict[str, type[Method]] = {}
METHODS: Mapping[str, type[Method]] = MappingProxyType(_METHODS)
"""Every class of methods, by its name in JSON; defining a subclass adds it."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way of transferring, as data; a subclass says what it does and how strongly.

    Numbers are stored as they are written in JSON, so that equal methods have equal JSON.

    Attributes:
        name: Its name in JSON and in TensorBoard.
        role: The field of a recipe that takes it.

    Raises:
        RecipeError: A field is out of range.
    """

    name: ClassVar[str] = ""
    role: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            _METHODS[cls.name] = cls

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name), field.type))
        self._check()

    def _check(self) -> None:
        """Refuse values out of range."""

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the fields that differ from the defaults, as JSON-able data."""
        defaults = {field.name: field.default for field in fields(self)}
        given = {name: getattr(self, name) for name in defaults}
        changed = {name: value for name, value in given.items() if value != defaults[name]}
        return {"method": self.name, **{name: _listed(value) for name, value in changed.items()}}

    def in_range(
        self,
        name: str,
        *,
        above: float = -math.inf,
        least: float = -math.inf,
        below: float = math.inf,
        most: float = math.inf,
    ) -> None:
        """Refuse a field that is not a number within bounds.

        Args:
            name: The field.
            above: It has to be greater.
            least: It has to be at least that.
            below: It has to be smaller.
            most: It may not exceed that.

        Raises:
            RecipeError: It is not.
        """
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = number and is_finite(value) and above < value < below
        if not inside or not least <= value <= most:
            low = f"[{least:g}" if least > -math.inf else f"({above:g}"
            high = f"{most:g}]" if most < math.inf else f"{below:g})"
            self.refuse(name, f"a number in {low}, {high}")

    def whole(self, name: str, least: int) -> None:
        """Refuse a field that is not a whole number of at least ``least``.

        Raises:
            RecipeError: It is not.
        """
        value = getattr(self, name)
        if type(value) is not int or value < least:
            self.refuse(name, f"a whole number >= {least}")

    def one_of(self, name: str, choices: tuple[Any, ...]) -> None:
        """Refuse a field that is none of the choices.

        Raises:
            RecipeError: It is not.
        """
        value = getattr(self, name)
        if type(value) not in map(type, choices) or value not in choices:  # 1 is no True
            self.refuse(name, f"one of {', '.join(map(repr, choices))}")

    def names(self, name: str) -> None:
        """Refuse a field that is not a list of texts.

        Raises:
            RecipeError: It is not.
        """
        value = getattr(self, name)
        if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
            self.refuse(name, "a list of texts, such as ['CartPole-v1']")

    def refuse(self, name: str, expected: str) -> None:
        """Raise the error for a field.

        Raises:
            RecipeError: Always.
        """
        value = getattr(self, name)
        raise RecipeError(f"{type(self).__name__}({name}={value!r}): expected {expected}")


@dataclass(frozen=True, kw_only=True)
class Fading(Method):
    """A method with a strength that may fade as training goes on.

    Attributes:
        strength: Factor on its loss, > 0.
        fade: ``"constant"``; ``"linear"`` to 0 at ``until``; ``"exponential"`` to a twentieth of
            ``strength`` at ``until``, and 0 from there; ``"performance"``, which multiplies by
            ``1 - learner / source``, at least 0 and at most 1, the ratio of what episodes of
            learner and source return above a random policy's (Agarwal et al. 2022, section 4.2),
            and 0 from ``until``.
        until: Fraction of training in (0, 1] after which the strength is 0, of all that was asked
            for by then, as learning rates are scheduled: ``learn`` begins anew, unless it goes on
            (``reset_num_timesteps=False``). 1 for no end.
    """

    strength: float = 1.0
    fade: Fade = "constant"
    until: float = 1.0

    def _check(self) -> None:
        self.in_range("strength", above=0)
        self.one_of("fade", get_args(Fade))
        self.in_range("until", above=0, most=1)


def method_from(data: Any) -> Method:
    """Build a method from :meth:`Method.to_dict`.

    Raises:
        UnknownName: There is no such method, or it has no such field.
        RecipeError: A value is out of range.
    """
    if not isinstance(data, Mapping) or "method" not in data:
        raise RecipeError(f"{data!r:.80} is no method: give one such as {{'method': 'l2_sp'}}")
    name = data["method"]
    if not isinstance(name, str) or name not in METHODS:
        raise UnknownName(suggest(str(name), METHODS, kind="method"))
    kind = METHODS[name]
    given = {key: value for key, value in data.items() if key != "method"}
    known = [field.name for field in fields(kind)]
    for key in given:
        if key not in known:
            raise UnknownName(suggest(key, known, kind=f"field of {kind.__name__}"))
    return kind(**given)


def methods_of(role: str, value: Any) -> tuple[Method, ...]:
    """Read the methods of one field of a recipe.

    Args:
        role: Name of the field.
        value: A method, or several; each may be data.

    Raises:
        RecipeError: Something is no method, belongs to another field, or is there twice.
        UnknownName: There is no such method.
    """
    single = isinstance(value, Method | Mapping)
    if not single and (isinstance(value, str) or not _iterable(value)):
        raise RecipeError(f"{role} is {value!r:.80}: expected a method of rltransfer.methods")
    listed = [one if isinstance(one, Method) else method_from(one) for one in _several(value)]
    for one in listed:
        if one.role != role:
            raise RecipeError(
                f"{type(one).__name__} is no way to {role}: write {one.role}={type(one).__name__}()"
            )
        if sum(other.name == one.name for other in listed) > 1:
            raise RecipeError(f"{role} has {type(one).__name__} twice: keep one of them")
    return tuple(listed)


def _several(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, Method | Mapping) else tuple(value)


def _iterable(value: Any) -> bool:
    return hasattr(value, "__iter__")


def _plain(value: Any, kind: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) is int and str(kind).startswith("float") and abs(value) < 2**53:
        return float(value)
    if isinstance(value, float) and value == 0:
        return 0.0  # and not -0.0, which is equal and written otherwise
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
