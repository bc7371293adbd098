"""The text that Stable-Baselines3 writes beside each pickle, compared with the pickle.

The two come from one object. A file in which they differ was changed by hand, and means to say one
thing to people and scanners and another to whoever loads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rltransfer.errors import BadCheckpoint

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|[iI]nf)|True|False")
#: NumPy prints 8 digits by default, and a user may have asked for 2, or for none after the point.
_TOLERANCE = 0.01
_LONGEST_NUMBER = 50  # characters, with the space around it
#: Longer texts are of images whose every number was printed, and take too long to compare.
_LONGEST_TEXT = 400_000


def check(twin: Mapping[str, Any], attributes: Mapping[str, Any], where: str) -> None:
    """Compare an object that was pickled with its text.

    Args:
        twin: Attributes as text or JSON.
        attributes: What the pickle says of the same attributes: plain data, or arrays. Others are
            left out.
        where: What the object is called in an error.

    Raises:
        BadCheckpoint: An attribute is in both, and differs.
    """
    for name, value in attributes.items():
        if name in twin and not _agree(twin[name], value):
            raise BadCheckpoint(
                f"{where}: the pickle and the text beside it disagree about {name}: the file was "
                "changed after it was saved"
            )


def _agree(twin: Any, value: Any) -> bool:
    if isinstance(value, np.ndarray):
        text = "" if isinstance(twin, dict | list) else str(twin)
        # Longer than any way to print so many numbers: not worth to be looked at.
        return len(text) <= _LONGEST_NUMBER * (value.size + 10) and _agree_in_numbers(text, value)
    return _same(twin, value) or (isinstance(twin, str) and twin == str(value))


def _same(twin: Any, value: Any) -> bool:
    """Compare JSON with data; JSON has no tuples, no keys but text, and one kind of number."""
    if isinstance(value, dict):
        keys = {str(key): part for key, part in value.items()}
        return (
            isinstance(twin, dict)
            and twin.keys() == keys.keys()
            and all(_same(twin[key], part) for key, part in keys.items())
        )
    if isinstance(value, list | tuple):
        return isinstance(twin, list) and len(twin) == len(value) and all(map(_same, twin, value))
    return twin == value


def _agree_in_numbers(text: str, value: np.ndarray) -> bool:
    # NumPy leaves out the middle of more than 1,000 numbers.
    if "..." in text or len(text) > _LONGEST_TEXT:
        return True
    words = {"True": 1.0, "False": 0.0}
    parts = _NUMBER.findall(text)
    printed = [words[part] if part in words else float(part) for part in parts]
    numbers = value.astype(np.float64).ravel()
    decimals = max((len(part.partition(".")[2]) for part in parts), default=0)
    rounding = max(_TOLERANCE, 0.51 * 10.0**-decimals)
    return len(printed) == len(numbers) and np.allclose(
        printed, numbers, rtol=_TOLERANCE, atol=rounding, equal_nan=True
    )
