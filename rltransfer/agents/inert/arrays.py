"""NumPy's arrays, numbers and dtypes, from the records of their pickles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rltransfer.agents.inert.records import Call, Global, Record, called
from rltransfer.errors import BadCheckpoint

_WHOLE = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_KINDS = ("bool", "float16", "float32", "float64", *_WHOLE)
#: What a pickle may call a dtype, such as "f4", "<f4" in its state, or the class numpy.float32.
_DTYPES = {np.dtype(kind).str[1:]: np.dtype(kind) for kind in _KINDS} | {
    kind: np.dtype(kind) for kind in (*_KINDS, "bool_")
}
_RECONSTRUCT = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_SCALAR = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")}
_FROM_BUFFER = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_BYTES = {f"{module}.bytes" for module in ("builtins", "__builtin__")}
_BYTEARRAY = {f"{module}.bytearray" for module in ("builtins", "__builtin__")}


def dtype(record: Record) -> np.dtype:
    """Return the dtype that a record says: boolean, whole or floating numbers of this machine.

    Raises:
        BadCheckpoint: It says something else, or the bytes are in the order of other machines.
    """
    if isinstance(record, Global) and record.module == "numpy" and record.name in _DTYPES:
        return _DTYPES[record.name]
    if not isinstance(record, Call) or called(record) != "numpy.dtype" or not record.args:
        raise BadCheckpoint("expected a dtype of numpy")
    name, state = record.args[0], record.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    fields = state[3:5] if isinstance(state, tuple) else ()
    if type(name) is not str or name.lstrip("<|=") not in _DTYPES or any(fields):
        raise BadCheckpoint("a dtype is not one of plain numbers")
    if order not in ("<", "|", "="):
        raise BadCheckpoint("numbers are stored in big-endian order")
    return _DTYPES[name.lstrip("<|=")]


def array(record: Record) -> np.ndarray:
    """Return the array that a record says, as a copy in C order.

    Raises:
        BadCheckpoint: It says something else, an array of objects, or a shape that its bytes do
            not fill.
    """
    if not isinstance(record, Call):
        raise BadCheckpoint("expected an array of numpy")
    name, args, state = called(record), record.args, record.state
    if name in _RECONSTRUCT and isinstance(state, tuple) and len(state) == 5:
        _, shape, kind, fortran, content = state
        return _array(content, dtype(kind), shape, "F" if fortran is True else "C")
    if name in _FROM_BUFFER and len(args) == 4 and state is None:
        content, kind, shape, order = args
        return _array(content, dtype(kind), shape, order)
    raise BadCheckpoint(f"expected an array of numpy, got {name or 'another call'!s:.100}")


def scalar(record: Record) -> bool | int | float:
    """Return a number, be it Python's or NumPy's.

    Raises:
        BadCheckpoint: The record is something else.
    """
    if isinstance(record, bool | int | float):
        return record
    if isinstance(record, Call) and called(record) in _SCALAR and len(record.args) == 2:
        kind, content = record.args
        return _array(content, dtype(kind), (), "C").item()
    raise BadCheckpoint("expected a number")


def raw(record: Record) -> bytes:
    """Return bytes, in any of the ways in which the protocols write them.

    Raises:
        BadCheckpoint: The record is something else.
    """
    if isinstance(record, bytes):
        return record
    name, args = called(record), record.args if isinstance(record, Call) else ()
    if name in _BYTEARRAY and len(args) == 1 and not isinstance(args[0], Call):
        return raw(args[0])
    if name in _BYTES and not args:
        return b""
    # Protocols 0 to 2 have no bytes: they ask for the encoding of a text.
    if name == "_codecs.encode" and len(args) == 2 and args[1] == "latin1":
        return _latin1(args[0])
    raise BadCheckpoint("expected bytes")


def _latin1(text: Record) -> bytes:
    try:
        return text.encode("latin-1")  # pyright: ignore
    except (AttributeError, UnicodeEncodeError) as error:
        raise BadCheckpoint("expected bytes written as a latin-1 text") from error


def _array(content: Record, kind: np.dtype, shape: Any, order: Any) -> np.ndarray:
    sizes = (shape,) if type(shape) is int else shape
    if not isinstance(sizes, tuple) or not all(type(n) is int and 0 <= n < 2**31 for n in sizes):
        raise BadCheckpoint("an array has a malformed shape")
    data = raw(content)
    # Counted without the sides of 0: NumPy refuses an empty array of more than it could address.
    if len(sizes) > 16 or math.prod(size or 1 for size in sizes) >= 2**31:
        raise BadCheckpoint("an array has too large a shape")
    if len(data) != math.prod(sizes) * kind.itemsize:
        raise BadCheckpoint(f"an array of {len(data)} bytes does not fill its shape")
    if order not in ("C", "F"):
        raise BadCheckpoint("an array has an unknown order")
    return np.frombuffer(data, kind).reshape(sizes, order=order).copy(order="C")
