"""JSON that is read as strictly as it is written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from rltransfer.agents.inert.text import unique, whole
from rltransfer.errors import BadCheckpoint

_KINDS = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    type(None): "null",
}


def render(document: Mapping[str, Any]) -> bytes:
    """Write a document as ASCII JSON: indented, in the order of its keys, without NaN or inf."""
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode("ascii")


def parse(text: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadCheckpoint: It is not UTF-8, not JSON, not an object, nested too deep, or holds a key
            twice, NaN, inf, a number beyond float64, or a whole one of more than 60 digits.
    """
    try:
        document = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=whole,
        )
    except (ValueError, RecursionError) as error:
        raise BadCheckpoint(f"not valid JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict):
        raise BadCheckpoint("not a JSON object")
    return document


def take(mapping: Mapping[str, Any], key: str, *kinds: type) -> Any:
    """Return ``mapping[key]``, checked to be of one of ``kinds``.

    A whole number also counts as a float, and is returned as one; a bool is never a number.

    Raises:
        BadCheckpoint: The key is missing, or its value is of another kind.
    """
    if key not in mapping:
        raise BadCheckpoint(f"field {key!r} is missing")
    value = mapping[key]
    if type(value) in kinds:
        return value
    if type(value) is int and float in kinds:
        return _finite(str(value))
    expected = " or ".join(_KINDS[kind] for kind in kinds)
    raise BadCheckpoint(f"field {key!r} is {value!r:.60}: expected {expected}")


def only(mapping: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Refuse keys that nobody reads.

    Raises:
        BadCheckpoint: ``mapping`` has a key that is not in ``keys``.
    """
    unknown = sorted(set(mapping) - set(keys))
    if unknown:
        raise BadCheckpoint(f"{where} has unknown fields {', '.join(map(repr, unknown))}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is beyond float64")
    return value
