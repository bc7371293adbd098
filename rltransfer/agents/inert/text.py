"""JSON of others: more tolerant than our own, and as bounded."""

from __future__ import annotations

import json
from typing import Any

from rltransfer.agents.inert.limits import Budget
from rltransfer.errors import BadCheckpoint

_MAX_DIGITS = 60


def read_json(content: bytes, budget: Budget) -> Any:
    """Read a JSON text.

    Unlike strict JSON it may hold NaN and Infinity, which Python's writer emits.

    Raises:
        BadCheckpoint: It is not UTF-8, malformed, nested too deep, too large, or holds a key twice
            or a number of more than 60 digits.
    """
    budget.spend("json_bytes", len(content))
    # Every value but the first follows one of these; counted before anything is allocated.
    budget.spend("nodes", sum(content.count(mark) for mark in (b"[", b"{", b",")))
    try:
        return json.loads(
            content.decode("utf-8"), object_pairs_hook=unique, parse_int=whole, parse_float=_real
        )
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(f"not valid JSON: {str(error).splitlines()[0]:.100}") from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with a key twice, by a ``ValueError``."""
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return mapping


def whole(text: str) -> int:
    """Refuse a whole number that is too long to be printed, by a ``ValueError``."""
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)


def _real(text: str) -> float:
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return float(text)
