"""Gymnasium spaces as JSON data, and back, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltransfer.agents.jsondata import take
from rltransfer.errors import BadArgument, BadCheckpoint

_DTYPES = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
# A few bytes may not make their reader allocate without bound: 1 Mi elements in one space and all
# that it is made of. Four stacked color frames of Atari have 0.4 Mi.
_MAX_ELEMENTS = 2**20
_MAX_DEPTH = 16


def encode(space: gym.Space) -> dict[str, Any]:
    """Describe a space as JSON data.

    Args:
        space: A Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of these.

    Raises:
        BadArgument: Another kind of space, or of element, or more than 2**20 elements.
    """
    if _elements(space) > _MAX_ELEMENTS:
        raise BadArgument(
            f"a space of {_elements(space):,} elements cannot be stored: at most {_MAX_ELEMENTS:,}"
        )
    for kind, (write, _) in _CODECS.items():
        if isinstance(space, getattr(spaces, kind)):
            return {"type": kind, **write(space)}
    raise BadArgument(
        f"{type(space).__name__} spaces cannot be stored: expected {', '.join(_CODECS)}; "
        "convert it with a gymnasium.Wrapper"
    )


def counts_from_zero(space: gym.Space) -> bool:
    """Tell whether classes are numbered as Stable-Baselines3 takes them, which overlooks others."""
    return not np.any(getattr(space, "start", 0))


def decode(data: Any, *, depth: int = 0) -> gym.Space:
    """Rebuild the space that :func:`encode` described, equal in every bound, dtype and order.

    Raises:
        BadCheckpoint: The data do not describe a space.
    """
    if not isinstance(data, dict) or depth > _MAX_DEPTH:
        raise BadCheckpoint(f"expected a space, got {data!r:.60}")
    if depth == 0 and _described(data, 0) > _MAX_ELEMENTS:
        raise BadCheckpoint(f"a space of more than {_MAX_ELEMENTS:,} elements is too large")
    kind = take(data, "type", str)
    if kind not in _CODECS:
        raise BadCheckpoint(f"no space is named {kind!r:.60}: expected {', '.join(_CODECS)}")
    try:
        with np.errstate(all="ignore"):  # a number beyond the dtype is seen below
            space = _CODECS[kind][1](data, depth)
    except (ValueError, TypeError, OverflowError, AssertionError) as error:
        raise BadCheckpoint(f"no such {kind} space: {str(error).splitlines()[0]}") from error
    # Whatever was misspelt, left out or added above does not come back.
    if encode(space) != data:
        raise BadCheckpoint(f"the description of a {kind} space contradicts itself")
    return space


def described(data: Any) -> int:
    """Count the elements that a description asks for, without making the space."""
    return _described(data, 0)


def _write_box(space: spaces.Box) -> dict[str, Any]:
    return {
        "dtype": _dtype_name(space.dtype),
        "shape": list(space.shape),
        "low": _bounds(space.low, space.bounded_below, "-inf"),
        "high": _bounds(space.high, space.bounded_above, "inf"),
    }


def _read_box(data: dict[str, Any], _: int) -> spaces.Box:
    dtype, shape = _dtype(data), _shape(data)
    info: Any = np.iinfo(dtype) if dtype.kind in "iu" else None
    sides, bounded = {}, {}
    for key, infinity in (("low", "-inf"), ("high", "inf")):
        # Integers have no infinity: Gymnasium keeps the limit of the type, and a mark beside it.
        limit = float(infinity) if info is None else info.min if key == "low" else info.max
        given = take(data, key, bool, int, float, str, list)
        values = given if isinstance(given, list) else [given]
        marks = np.array([value != infinity for value in values], dtype=bool)
        side = np.array([limit if value == infinity else value for value in values], dtype=dtype)
        uniform = not isinstance(given, list)
        sides[key] = np.full(shape, side[0]) if uniform else side.reshape(shape)
        bounded[key] = np.full(shape, marks[0]) if uniform else marks.reshape(shape)
    box = spaces.Box(sides["low"], sides["high"], shape, dtype.type)
    box.bounded_below, box.bounded_above = bounded["low"], bounded["high"]
    return box


def _bounds(values: np.ndarray, bounded: np.ndarray, infinity: str) -> Any:
    """Write bounds, a uniform one as one value: an image has thousands of equal ones."""
    if not np.isfinite(values[bounded]).all():
        raise BadArgument("a Box whose low is inf or whose high is -inf cannot be stored")
    if values.size and not bounded.any():
        return infinity
    # By their bits, because 0.0 == -0.0.
    flat = np.ascontiguousarray(values).ravel()
    if bounded.all() and flat.size and flat.tobytes() == flat[:1].tobytes() * flat.size:
        return flat[0].item()
    pairs = zip(flat.tolist(), bounded.ravel().tolist(), strict=True)
    return [value if known else infinity for value, known in pairs]


def _write_discrete(space: spaces.Discrete) -> dict[str, Any]:
    return {"dtype": _dtype_name(space.dtype), "n": int(space.n), "start": int(space.start)}


def _read_discrete(data: dict[str, Any], _: int) -> spaces.Discrete:
    return spaces.Discrete(
        take(data, "n", int), start=take(data, "start", int), dtype=_dtype(data).type
    )


def _write_multi_discrete(space: spaces.MultiDiscrete) -> dict[str, Any]:
    return {
        "dtype": _dtype_name(space.dtype),
        "shape": list(space.shape),
        "nvec": space.nvec.ravel().tolist(),
        "start": space.start.ravel().tolist(),
    }


def _read_multi_discrete(data: dict[str, Any], _: int) -> spaces.MultiDiscrete:
    dtype, shape = _dtype(data), _shape(data)
    nvec, start = (
        np.array(take(data, key, list), dtype=dtype).reshape(shape) for key in ("nvec", "start")
    )
    return spaces.MultiDiscrete(nvec, dtype=dtype.type, start=start)


def _write_multi_binary(space: spaces.MultiBinary) -> dict[str, Any]:
    return {"n": space.n if isinstance(space.n, int) else list(space.n)}


def _read_multi_binary(data: dict[str, Any], _: int) -> spaces.MultiBinary:
    return spaces.MultiBinary(take(data, "n", int, list))


def _write_dict(space: spaces.Dict) -> dict[str, Any]:
    # A list, because the order of the keys is the order of the features.
    return {
        "sort_keys": space.sort_keys,
        "spaces": [[key, encode(part)] for key, part in space.spaces.items()],
    }


def _read_dict(data: dict[str, Any], depth: int) -> spaces.Dict:
    pairs = [(key, decode(part, depth=depth + 1)) for key, part in take(data, "spaces", list)]
    return spaces.Dict(pairs, sort_keys=take(data, "sort_keys", bool))


def _write_tuple(space: spaces.Tuple) -> dict[str, Any]:
    return {"spaces": [encode(part) for part in space.spaces]}


def _read_tuple(data: dict[str, Any], depth: int) -> spaces.Tuple:
    return spaces.Tuple([decode(part, depth=depth + 1) for part in take(data, "spaces", list)])


def _dtype_name(dtype: Any) -> str:
    dtype = np.dtype(dtype)
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise BadArgument(f"spaces of dtype {dtype} cannot be stored: use float32")
    return dtype.name


def _dtype(data: dict[str, Any]) -> np.dtype:
    name = take(data, "dtype", str)
    if name not in _DTYPES:
        raise BadCheckpoint(f"no dtype is named {name!r:.60}")
    return np.dtype(name)


def _shape(data: dict[str, Any]) -> tuple[int, ...]:
    shape = take(data, "shape", list)
    if not all(type(size) is int and size >= 0 for size in shape):
        raise BadCheckpoint(f"{shape!r:.60} is not a shape")
    return tuple(shape)


def _elements(space: gym.Space) -> int:
    """Count the elements of a space and of all that it is made of."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return sum(map(_elements, parts))
    return math.prod(space.shape or ())


def _described(data: Any, depth: int) -> int:
    """Count the elements that a description asks for, before any is made."""
    if not isinstance(data, dict) or depth > _MAX_DEPTH:
        return 0  # refused where it is read
    parts = data.get("spaces", [])
    parts = parts if isinstance(parts, list) else []
    inner = [part[-1] if isinstance(part, list) and part else part for part in parts]
    shape = data.get("shape", data.get("n", []))
    sizes = shape if isinstance(shape, list) else []
    # Without zeros: NumPy cannot make even an empty array of more than it could address.
    own = math.prod(abs(n) or 1 for n in sizes if type(n) is int) if len(sizes) <= 64 else 2**64
    return own + sum(_described(part, depth + 1) for part in inner)


_Codec = tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any], int], gym.Space]]
_CODECS: dict[str, _Codec] = {
    "Box": (_write_box, _read_box),
    "Discrete": (_write_discrete, _read_discrete),
    "MultiDiscrete": (_write_multi_discrete, _read_multi_discrete),
    "MultiBinary": (_write_multi_binary, _read_multi_binary),
    "Dict": (_write_dict, _read_dict),
    "Tuple": (_write_tuple, _read_tuple),
}
