"""Spaces of gym and gymnasium, from the records of their pickles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rltransfer.agents.inert import Budget, Record, array, dtype, instance, named, scalar, state
from rltransfer.agents.sb3 import twins
from rltransfer.agents.sb3.names import SPACES
from rltransfer.errors import BadCheckpoint

_MAX_DEPTH = 8
_NODES = 50  # of the budget for each space, which one record can stand for very often
_MAX_COUNT = 10**7  # of values of a discrete number; each is an input or output of the network
_Attributes = Mapping[str, Record]


@dataclass(frozen=True)
class _Level:
    """How deep a space lies in others, and what reading it may still cost."""

    depth: int
    budget: Budget

    def below(self) -> _Level:
        return _Level(self.depth + 1, self.budget)


def decode(
    record: Record, twin: Mapping[str, Any], where: str, budget: Budget | None = None
) -> gym.Space:
    """Rebuild a space.

    Args:
        record: The pickle of the space.
        twin: The text beside the pickle, by attribute.
        where: What the space is called in an error.
        budget: What it may cost; a fresh one by default.

    Raises:
        BadCheckpoint: It is no space that Stable-Baselines3 supports, contradicts itself or its
            text, or is too large.
    """
    try:
        space = _decode(record, _Level(0, budget or Budget()))
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{where}: {error}") from error
    twins.check(twin, _attributes(space), where)
    return space


def _decode(record: Record, level: _Level) -> gym.Space:
    level.budget.spend("nodes", _NODES)
    found = instance(record)
    if found is None or level.depth > _MAX_DEPTH:
        raise BadCheckpoint("expected a space of gym or gymnasium")
    kind = SPACES.get(found[0].path)
    if kind is None:
        raise BadCheckpoint(
            f"no space of gym or gymnasium that Stable-Baselines3 takes is called {found[0].path}"
        )
    attributes = state(found[1])
    try:
        return _DECODERS[kind](attributes, level)
    except KeyError as error:
        raise BadCheckpoint(f"a {kind} space lacks {error}") from error
    except (ArithmeticError, AssertionError, AttributeError, TypeError, ValueError) as error:
        raise BadCheckpoint(f"no such {kind} space: {str(error).splitlines()[0]}") from error


def _box(given: _Attributes, _: _Level) -> spaces.Box:
    kind, low, high = dtype(given["dtype"]), array(given["low"]), array(given["high"])
    shape = _shape(given)
    if low.shape != shape or high.shape != shape or {low.dtype, high.dtype} != {kind}:
        raise BadCheckpoint("the bounds of a Box have another shape or dtype than the Box")
    if not (low <= high).all():  # NaN included
        raise BadCheckpoint("a Box has bounds that no number fits between")
    box = spaces.Box(low, high, shape, kind.type)
    box.bounded_below = _bounded(given, "bounded_below", low, _least(kind))
    box.bounded_above = _bounded(given, "bounded_above", high, _most(kind))
    return box


def _bounded(given: _Attributes, name: str, bound: np.ndarray, open_end: Any) -> np.ndarray:
    """Tell where a bound is one; whole numbers have no infinity, so files say where."""
    closed = bound != open_end
    if name not in given or bound.dtype.kind == "f":
        return closed
    marks = array(given[name])
    if marks.dtype != bool or marks.shape != bound.shape or (closed & ~marks).any():
        raise BadCheckpoint(f"{name} of a Box contradicts its bounds")
    return marks


def _least(kind: np.dtype) -> Any:
    return -np.inf if kind.kind == "f" else False if kind.kind == "b" else np.iinfo(kind.name).min


def _most(kind: np.dtype) -> Any:
    return np.inf if kind.kind == "f" else True if kind.kind == "b" else np.iinfo(kind.name).max


def _shape(given: _Attributes) -> tuple[int, ...]:
    shape = given["_shape"] if "_shape" in given else given["shape"]
    if not isinstance(shape, tuple | list):
        raise BadCheckpoint("a space has a malformed shape")
    sizes = tuple(scalar(size) for size in shape)
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise BadCheckpoint("a space has a malformed shape")
    return sizes  # pyright: ignore[reportReturnType]


def _count(record: Record) -> int:
    number = scalar(record)
    if type(number) is not int or not 1 <= number <= _MAX_COUNT:
        raise BadCheckpoint(f"a space has {number} values, expected 1 to {_MAX_COUNT}")
    return number


def _discrete(given: _Attributes, _: _Level) -> spaces.Discrete:
    start = scalar(given.get("start", 0))
    if type(start) is not int or abs(start) > 2**53:
        raise BadCheckpoint("a Discrete space starts at no whole number")
    kind = dtype(given["dtype"]) if given.get("dtype") is not None else np.dtype(np.int64)
    return spaces.Discrete(_count(given["n"]), start=start, dtype=kind.type)


def _multi_discrete(given: _Attributes, _: _Level) -> spaces.MultiDiscrete:
    nvec = array(given["nvec"])
    start = array(given["start"]) if given.get("start") is not None else np.zeros_like(nvec)
    whole = {nvec.dtype.kind, start.dtype.kind} <= set("iu") and start.shape == nvec.shape
    if not whole or nvec.ndim != 1 or not ((nvec >= 1) & (nvec <= _MAX_COUNT)).all():
        raise BadCheckpoint("a MultiDiscrete space is no list of whole numbers from 1")
    kind = dtype(given["dtype"]) if given.get("dtype") is not None else nvec.dtype
    return spaces.MultiDiscrete(nvec.astype(kind), dtype=kind.type, start=start.astype(kind))


def _multi_binary(given: _Attributes, _: _Level) -> spaces.MultiBinary:
    n = given["n"]
    if isinstance(n, tuple | list):
        return spaces.MultiBinary([_count(size) for size in n])
    return spaces.MultiBinary(_count(n))


def _dict(given: _Attributes, level: _Level) -> spaces.Dict:
    # A list keeps the order of the file, which is the order of the network's inputs.
    parts = [(key, _decode(part, level.below())) for key, part in named(given["spaces"]).items()]
    return spaces.Dict(parts, sort_keys=given.get("sort_keys", True) is True)


def _tuple(given: _Attributes, level: _Level) -> spaces.Tuple:
    parts = given["spaces"]
    if not isinstance(parts, tuple | list):
        raise BadCheckpoint("a Tuple space holds no list of spaces")
    return spaces.Tuple([_decode(part, level.below()) for part in parts])


_DECODERS: dict[str, Callable[[_Attributes, _Level], gym.Space]] = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiDiscrete": _multi_discrete,
    "MultiBinary": _multi_binary,
    "Dict": _dict,
    "Tuple": _tuple,
}


def _attributes(space: gym.Space) -> dict[str, Any]:
    """What a space has in common with its text, under the names of old and new versions."""
    if isinstance(space, spaces.Box):
        shape = list(space.shape)
        bounds = {name: getattr(space, name) for name in ("low", "high")}
        return {"dtype": str(space.dtype), "shape": shape, "_shape": shape, **bounds}
    if isinstance(space, spaces.Discrete):
        return {"n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"nvec": space.nvec}
    if isinstance(space, spaces.MultiBinary):
        return {"n": space.n if isinstance(space.n, int) else list(space.n)}
    return {}
