"""Whether what an environment returns fits what its spaces promise.

Stable-Baselines3 copies observations into arrays of the promised shape and dtype. There 0.7 becomes
0 in a space of integers, 300 becomes 44 in one of bytes, and shape (1,) fills four columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rltransfer.faults import shown

_SMALL = 1024


def misfit(space: spaces.Space, value: Any, name: str = "observation") -> str | None:
    """Say how a value does not fit a space.

    Args:
        space: What was promised.
        value: What the environment returned.
        name: How to call the value.

    Returns:
        Such as ``"observation has shape (5,), its space has (4,)"``; None if it fits. Bounds are
        not compared, many environments leave theirs (:mod:`rltransfer.bounds`). Another dtype
        fits if the promised one holds the same values, up to the rounding of floats.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or value.keys() != space.spaces.keys():
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            return f"{name} has the keys {got}, its space has {sorted(space.spaces)}"
        parts = [(part, value[key], f"{name}[{key!r}]") for key, part in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            return f"{name} is not a tuple of {len(space.spaces)} parts, as its space is"
        parts = [(part, value[i], f"{name}[{i}]") for i, part in enumerate(space.spaces)]
    else:
        return _misfit_array(space, value, name)
    return next((found for part in parts if (found := misfit(*part))), None)


def same_arrays(one: spaces.Space, other: spaces.Space) -> bool:
    """Tell whether two spaces promise the same kind of arrays; bounds of numbers may differ."""
    if isinstance(one, spaces.Dict) and isinstance(other, spaces.Dict):
        return one.keys() == other.keys() and all(same_arrays(one[k], other[k]) for k in one)
    if isinstance(one, spaces.Box) and isinstance(other, spaces.Box):
        return one.shape == other.shape and one.dtype == other.dtype
    return one == other


def _misfit_array(space: spaces.Space, value: Any, name: str) -> str | None:
    if space.shape is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return f"{name} is ragged, its space has shape {space.shape}"
    if array.dtype.kind not in "biuf":
        kind = f"of dtype {array.dtype}" if isinstance(value, np.ndarray) else "not numbers"
        return f"{name} is {shown(value)}, {kind}, its space has {space.dtype}"
    if array.shape != space.shape:
        return f"{name} has shape {array.shape}, its space has {space.shape}"
    return None if space.dtype is None else changed_by_cast(array, space.dtype, name)


def changed_by_cast(array: np.ndarray, dtype: np.dtype, name: str) -> str | None:
    """Say which value another dtype cannot hold.

    Args:
        array: Numbers, any shape.
        dtype: What they will be cast to. A float holds any number, rounded.
        name: How to call the array.
    """
    if dtype.kind == "f" or np.can_cast(array.dtype, dtype, "safe"):
        return None
    with np.errstate(invalid="ignore"):
        cast = array.astype(dtype)
    different = np.atleast_1d(cast != array)
    if not different.any():
        return None
    first = tuple(np.argwhere(different)[0])
    before, after = np.atleast_1d(array)[first], np.atleast_1d(cast)[first]
    return (
        f"{name} has dtype {array.dtype}, its space has {dtype}, where {before} becomes {after}:"
        f" return {dtype}, or give the space dtype {array.dtype}"
    )


def rounded(space: spaces.Space, value: Any) -> str | None:
    """Say whether an array is of a finer float than its space has, such as float64 for float32.

    Args:
        space: What was promised.
        value: An observation that fits it.

    Returns:
        The finer dtype, or None.
    """
    if not isinstance(value, np.ndarray) or space.dtype is None or value.dtype.kind != "f":
        return None
    finer = space.dtype.kind == "f" and value.dtype.itemsize > space.dtype.itemsize
    return str(value.dtype) if finer else None


def same_space(first: spaces.Space, second: spaces.Space) -> bool:
    """Tell whether two spaces are equal; ten times as fast for a Box as ``==``."""
    if first is second and not isinstance(first, spaces.Box):
        return True
    if not (isinstance(first, spaces.Box) and isinstance(second, spaces.Box)):
        return first == second
    return (
        first.shape == second.shape
        and first.dtype == second.dtype
        and _same(first.low, second.low)
        and _same(first.high, second.high)
    )


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    # The bytes of small arrays are compared in a tenth of the time.
    few = first.size <= _SMALL
    return (few and first.tobytes() == second.tobytes()) or np.array_equal(first, second)
