"""Finding NaN and infinity, cheaply enough for every step."""

from __future__ import annotations

from math import isfinite
from typing import Any, SupportsFloat

import numpy as np
from gymnasium import spaces

FEW = 16
"""So many numbers are added up faster in Python than numpy is called."""


def all_finite(values: np.ndarray) -> bool:
    """Tell whether no value is NaN or infinite.

    NaN and infinity survive a sum, and a sum of squares, which is one BLAS call. Both can overflow
    too, so a result that is not finite is looked into value by value.

    Args:
        values: Numbers, any shape.
    """
    # Not dot, which warns when it overflows.
    few = values.size <= FEW
    total = sum(values.ravel().tolist()) if few else np.vdot(values, values)
    return isfinite(total) or bool(np.isfinite(values).all())


def is_finite(value: SupportsFloat) -> bool:
    """Tell whether a number is finite as a float, which a whole number may be too large for."""
    try:
        return isfinite(value)
    except OverflowError:
        return False


def float_keys(space: spaces.Space) -> tuple[Any, ...]:
    """Name the parts of an observation that can be NaN.

    Args:
        space: An observation space.

    Returns:
        Keys of the float parts of a Dict, indices of those of a Tuple, ``(None,)`` for a float
        array.
    """
    if isinstance(space, spaces.Dict):
        parts: list[tuple[Any, spaces.Space]] = list(space.spaces.items())
    elif isinstance(space, spaces.Tuple):
        parts = list(enumerate(space.spaces))
    else:
        parts = [(None, space)]
    return tuple(key for key, part in parts if part.dtype is not None and part.dtype.kind == "f")


def not_finite(observation: Any, keys: tuple[Any, ...]) -> str | None:
    """Say what of one observation is NaN or infinite, such as ``"observation[2] is nan"``.

    Args:
        observation: The observation.
        keys: What :func:`float_keys` says of its space.
    """
    found = first_not_finite(observation, keys)
    return None if found is None else f"observation{[*found[0]] or ''} {found[1]}"


def first_not_finite(observation: Any, keys: tuple[Any, ...]) -> tuple[tuple[int, ...], str] | None:
    """Find the first NaN or infinity.

    Args:
        observation: One observation, or a batch of them.
        keys: What :func:`float_keys` says of its space.

    Returns:
        Where it is in its array, and its part and value, such as ``((3, 2), "is nan")``; None if
        all are finite.
    """
    for key in keys:
        values = np.asarray(observation if key is None else observation[key])
        if not all_finite(values):
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            part = "" if key is None else f"part {key!r} "
            return place, f"{part}is {values[place]}"
    return None
