"""Numbers that a user gives, as plain numbers that JSON can hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.errors import BadArgument
from rltransfer.finite import is_finite


def whole(name: str, value: Any, *, least: int | None = 0) -> int:
    """Return a whole number, Python's or numpy's, as Python's; True and 3.0 are none.

    Args:
        name: How to call it.
        value: What was given.
        least: The smallest that may be given; None for no bound.

    Raises:
        BadArgument: It is none, or too small.
    """
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not number or (least is not None and value < least):
        bound = "" if least is None else f", at least {least}"
        raise BadArgument(f"{name} is {value!r:.60}: give a whole number{bound}")
    return int(value)


def finite(name: str, value: Any) -> float:
    """Return a finite number, Python's or numpy's, as a Python float.

    Args:
        name: How to call it.
        value: What was given.

    Raises:
        BadArgument: It is no number, NaN, infinite, or too large for a float.
    """
    if not _is_number(value) or not is_finite(value):
        raise BadArgument(f"{name} is {value!r:.60}: give a finite number")
    return float(value)


def check_steps(steps: Any) -> None:
    """Refuse a number of environment steps that is not a whole number >= 1.

    Raises:
        BadArgument: It is not.
    """
    if not _is_number(steps) or not is_finite(steps) or steps != int(steps) or steps < 1:
        raise BadArgument(f"steps is {steps!r:.60}: expected a whole number >= 1")


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating)
    return number and not isinstance(value, bool)
