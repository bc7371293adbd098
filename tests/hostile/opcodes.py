"""Pickles as lists of instructions, and values as instructions of any protocol."""

from __future__ import annotations

import functools
import pickletools
import struct
from typing import Any

STOP = b"."
#: Arguments of each kind, from ``pickletools``, that random instructions get.
CODES = {code.code.encode("latin-1"): code for code in pickletools.opcodes}


@functools.lru_cache(maxsize=512)
def split(pickle: bytes) -> tuple[bytes, ...]:
    """Split a pickle into its instructions, without frames, which only say lengths."""
    ops = list(pickletools.genops(pickle))
    ends = [*(op[2] for op in ops[1:]), len(pickle)]
    parts = [(op.name, pickle[start:end]) for (op, _, start), end in zip(ops, ends, strict=True)]
    return tuple(part for name, part in parts if name != "FRAME")


def join(*parts: bytes, protocol: int | None = None) -> bytes:
    """Make a whole pickle of instructions."""
    head = b"" if protocol is None else b"\x80" + bytes([protocol])
    return head + b"".join(parts) + STOP


def text(value: str, style: str = "short") -> bytes:
    """Push a text: ``short`` or ``long`` (protocol 4), ``mid`` (2), or ``line`` (0)."""
    content = value.encode("utf-8", "surrogatepass")
    if style == "line":
        line = value.encode("raw-unicode-escape", "surrogatepass")
        return b"V" + line.replace(b"\n", b"\\u000a") + b"\n"
    if style == "short" and len(content) < 256:
        return b"\x8c" + bytes([len(content)]) + content
    if style == "long":
        return b"\x8d" + struct.pack("<Q", len(content)) + content
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: int, style: str = "short") -> bytes:
    """Push a whole number, as a line or in the shortest binary form."""
    if style == "line":
        return b"I%d\n" % value
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(content) < 256:
        return b"\x8a" + bytes([len(content)]) + content
    return b"\x8b" + struct.pack("<i", len(content)) + content


def raw(value: bytes) -> bytes:
    """Push bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def value(item: Any, style: str = "short") -> bytes:
    """Push plain data."""
    if item is None or isinstance(item, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[item]
    if isinstance(item, int):
        return number(item, style)
    if isinstance(item, float):
        return b"F%r\n" % item if style == "line" else b"G" + struct.pack(">d", item)
    if isinstance(item, str):
        return text(item, style)
    if isinstance(item, bytes):
        return raw(item)
    if isinstance(item, Raw):
        return item.code
    if isinstance(item, dict):
        return b"}(" + b"".join(value(k, style) + value(v, style) for k, v in item.items()) + b"u"
    parts = b"".join(value(part, style) for part in item)
    return b"(" + parts + (b"t" if isinstance(item, tuple) else b"l")


class Raw:
    """Instructions that push one value, within data for :func:`value`."""

    def __init__(self, *code: bytes) -> None:
        self.code = b"".join(code)


def name(module: str, attribute: str, style: str = "short") -> bytes:
    """Push a global."""
    if style in ("line", "mid"):
        return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"
    return text(module, style) + text(attribute, style) + b"\x93"


def call(module: str, function: str, *args: Any, state: Any = None) -> Raw:
    """Push what ``module.function(*args)`` would return, with a state if that is not None."""
    build = b"" if state is None else value(state) + b"b"
    return Raw(name(module, function), value(tuple(args)), b"R", build)


def make(module: str, kind: str, **attributes: Any) -> Raw:
    """Push an object of a class with attributes."""
    return Raw(name(module, kind), b")\x81", value(attributes), b"b")


def dtype(code: str = "f4", order: str = "<", version: int = 3) -> Raw:
    """Push a dtype of numpy."""
    state = (version, order, None, None, None, -1, -1, 0)
    return call("numpy", "dtype", code, False, True, state=state)


def array(content: bytes, shape: Any, code: str = "f4", order: str = "C") -> Raw:
    """Push an array, as numpy writes it in protocol 5."""
    return call("numpy._core.numeric", "_frombuffer", content, dtype(code), shape, order)


def old_array(content: Any, shape: Any, code: str = "f8") -> Raw:
    """Push an array, as numpy writes it in protocols 0 to 4."""
    empty = Raw(name("numpy", "ndarray"))
    state = (1, shape, dtype(code), False, content)
    return call("numpy.core.multiarray", "_reconstruct", empty, (0,), b"b", state=state)


def scalar(content: bytes, code: str = "f8") -> Raw:
    """Push a scalar of numpy."""
    return call("numpy.core.multiarray", "scalar", dtype(code), content)
