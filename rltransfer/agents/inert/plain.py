"""Records of a pickle as ordinary Python data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rltransfer.agents.inert.limits import Budget
from rltransfer.agents.inert.records import Record, name_in, pairs_of
from rltransfer.errors import BadCheckpoint

_MAX_DEPTH = 16
_LEAVES = (type(None), bool, int, float, str, bytes)


def plain(
    record: Record, decode: Callable[[Record], Any] | None = None, budget: Budget | None = None
) -> Any:
    """Turn lists, tuples, dicts and numbers into Python's own.

    Args:
        record: What a pickle says.
        decode: Gets everything else, such as names and calls; without it, that is refused.
        budget: What it may cost; a fresh one by default.

    Returns:
        Data whose dicts have text keys, or whole numbers from 0 to 2**31 - 1.

    Raises:
        BadCheckpoint: Something else is in it, or it is nested too deep, or too large.
    """
    return _plain(record, decode or _refuse, budget or Budget(), 0)


def _plain(record: Record, decode: Callable[[Record], Any], budget: Budget, depth: int) -> Any:
    budget.spend("nodes")
    if depth > _MAX_DEPTH:
        raise BadCheckpoint(f"nested deeper than {_MAX_DEPTH} levels")
    if type(record) in _LEAVES:
        return record
    if isinstance(record, list | tuple):
        parts = [_plain(part, decode, budget, depth + 1) for part in record]
        return parts if isinstance(record, list) else tuple(parts)
    pairs = pairs_of(record)
    if pairs is None:
        return decode(record)
    found = {_key(key): _plain(value, decode, budget, depth + 1) for key, value in pairs}
    if len(found) != len(pairs):
        raise BadCheckpoint("a dict has a key twice")
    return found


def _key(key: Record) -> str | int:
    if type(key) is str or (type(key) is int and 0 <= key < 2**31):
        return key
    raise BadCheckpoint("a dict has a key that is neither a text nor a number from 0 to 2**31 - 1")


def _refuse(record: Record) -> Any:
    kind = type(record).__name__.lower()
    raise BadCheckpoint(f"expected plain data, got {name_in(record) or f'a {kind}'!s:.100}")
