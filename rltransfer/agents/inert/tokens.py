"""The instructions of a pickle, protocols 0 to 5, with their arguments decoded.

The meaning of each opcode is in the comments of CPython's ``pickletools``. That module is not
used, because it imports codecs that a file names, and accepts numbers of any length.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from rltransfer.agents.inert.limits import Budget
from rltransfer.errors import BadCheckpoint

_Reader = Callable[["_Cursor"], Any]

_MAX_INT_BYTES = 64  # states of random generators have numbers of 128 bits
_MAX_LINE = 512
_WHOLE = re.compile(rb"[+-]?[0-9]{1,150}")
_DECIMAL = re.compile(rb"[+-]?([0-9]{1,60}\.?[0-9]{0,60}([eE][+-]?[0-9]{1,4})?|inf|nan)")
# Possessive: a long line that fails at its end must not be tried in every other way.
_OCTAL = rb"\\(?:[0-3][0-7]{0,2}|[4-7][0-7]?(?![0-7]))"
_ESCAPED = re.compile(rb"(?>[^\\]|\\[\\'\"abfnrtv]|\\x[0-9a-fA-F]{2}|" + _OCTAL + rb")*+")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})")


class _Cursor:
    """A place in the pickle."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        if length < 0 or end > len(self.content):
            raise BadCheckpoint("a pickle ends too early")
        part = self.content[self.at : end]
        self.at = end
        return part

    def line(self, limit: int | None = _MAX_LINE) -> bytes:
        end = self.content.find(b"\n", self.at)
        if end < 0 or (limit is not None and end - self.at > limit):
            raise BadCheckpoint("a pickle has an unfinished or overlong line")
        part = self.content[self.at : end]
        self.at = end + 1
        return part


def _nothing(_: _Cursor) -> None:
    return None


def _number(form: str) -> _Reader:
    packed = struct.Struct(form)
    size, unpack = packed.size, packed.unpack
    if form == "<B":  # most arguments of a pickle are of one byte
        return lambda cursor: cursor.take(1)[0]
    return lambda cursor: unpack(cursor.take(size))[0]


def _counted(form: str, decode: Callable[[bytes], Any]) -> _Reader:
    """Read a length in the given form, then so many bytes."""
    length = _number(form)
    return lambda cursor: decode(cursor.take(length(cursor)))


def _utf8(part: bytes) -> str:
    # Pickles keep lone surrogates, as Python texts can have them.
    return part.decode("utf-8", "surrogatepass")


def _latin1(part: bytes) -> str:
    return part.decode("latin-1")


def _signed(part: bytes) -> int:
    if len(part) > _MAX_INT_BYTES:
        raise BadCheckpoint("a pickle has a number of more than 64 bytes")
    return int.from_bytes(part, "little", signed=True)


def _int_line(cursor: _Cursor) -> int | bool:
    line = cursor.line()
    if line in (b"00", b"01"):  # how protocol 0 writes False and True
        return line == b"01"
    return _whole(line)


def _long_line(cursor: _Cursor) -> int:
    return _whole(cursor.line().removesuffix(b"L"))


def _index_line(cursor: _Cursor) -> int:
    index = _whole(cursor.line())
    if not 0 <= index < 2**32:
        raise BadCheckpoint("a pickle refers to an impossible index")
    return index


def _whole(line: bytes) -> int:
    if not _WHOLE.fullmatch(line):
        raise BadCheckpoint("a pickle has a malformed whole number")
    return int(line)


def _float_line(cursor: _Cursor) -> float:
    line = cursor.line()
    if not _DECIMAL.fullmatch(line):
        raise BadCheckpoint("a pickle has a malformed number")
    return float(line)


def _string_line(cursor: _Cursor) -> str:
    line = cursor.line(None)
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise BadCheckpoint("a pickle has a text without quotes")
    if not _ESCAPED.fullmatch(line[1:-1]):  # of what is no escape, the codec warns
        raise BadCheckpoint("a pickle has a malformed text")
    return _latin1(codecs.escape_decode(line[1:-1])[0])  # pyright: ignore[reportAttributeAccessIssue]


def _unicode_line(cursor: _Cursor) -> str:
    """Decode raw-unicode-escape by hand: the codec of that name would be imported."""
    text = _latin1(cursor.line(None))
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)


def _two_lines(cursor: _Cursor) -> tuple[str, str]:
    return _utf8(cursor.line()), _utf8(cursor.line())


def _proto(cursor: _Cursor) -> int:
    version = cursor.take(1)[0]
    if version > 5:
        raise BadCheckpoint(f"a pickle has protocol {version}, expected at most 5")
    return version


#: Opcode byte -> name and how to read its argument. What is missing is refused: extension codes
#: and buffers outside of the pickle, which no file of SB3 or torch has.
_OPCODES: dict[bytes, tuple[str, _Reader]] = {
    b"\x80": ("PROTO", _proto),
    b"\x95": ("FRAME", _number("<Q")),
    b".": ("STOP", _nothing),
    b"(": ("MARK", _nothing),
    b"0": ("POP", _nothing),
    b"1": ("POP_MARK", _nothing),
    b"2": ("DUP", _nothing),
    b"N": ("NONE", _nothing),
    b"\x88": ("TRUE", _nothing),
    b"\x89": ("FALSE", _nothing),
    b"I": ("PUSH", _int_line),
    b"J": ("PUSH", _number("<i")),
    b"K": ("PUSH", _number("<B")),
    b"M": ("PUSH", _number("<H")),
    b"L": ("PUSH", _long_line),
    b"\x8a": ("PUSH", _counted("<B", _signed)),
    b"\x8b": ("PUSH", _counted("<i", _signed)),
    b"F": ("PUSH", _float_line),
    b"G": ("PUSH", _number(">d")),
    b"S": ("PUSH", _string_line),
    b"T": ("PUSH", _counted("<i", _latin1)),
    b"U": ("PUSH", _counted("<B", _latin1)),
    b"V": ("PUSH", _unicode_line),
    b"X": ("PUSH", _counted("<I", _utf8)),
    b"\x8c": ("PUSH", _counted("<B", _utf8)),
    b"\x8d": ("PUSH", _counted("<Q", _utf8)),
    b"B": ("PUSH", _counted("<I", bytes)),
    b"C": ("PUSH", _counted("<B", bytes)),
    b"\x8e": ("PUSH", _counted("<Q", bytes)),
    b"\x96": ("PUSH", _counted("<Q", bytes)),
    b"]": ("EMPTY_LIST", _nothing),
    b"a": ("APPEND", _nothing),
    b"e": ("APPENDS", _nothing),
    b"l": ("LIST", _nothing),
    b")": ("EMPTY_TUPLE", _nothing),
    b"t": ("TUPLE", _nothing),
    b"\x85": ("TUPLE1", _nothing),
    b"\x86": ("TUPLE2", _nothing),
    b"\x87": ("TUPLE3", _nothing),
    b"}": ("EMPTY_DICT", _nothing),
    b"d": ("DICT", _nothing),
    b"s": ("SETITEM", _nothing),
    b"u": ("SETITEMS", _nothing),
    b"\x8f": ("EMPTY_SET", _nothing),
    b"\x90": ("ADDITEMS", _nothing),
    b"\x91": ("FROZENSET", _nothing),
    b"p": ("PUT", _index_line),
    b"q": ("PUT", _number("<B")),
    b"r": ("PUT", _number("<I")),
    b"\x94": ("MEMOIZE", _nothing),
    b"g": ("GET", _index_line),
    b"h": ("GET", _number("<B")),
    b"j": ("GET", _number("<I")),
    b"c": ("GLOBAL", _two_lines),
    b"\x93": ("STACK_GLOBAL", _nothing),
    b"i": ("INST", _two_lines),
    b"o": ("OBJ", _nothing),
    b"R": ("REDUCE", _nothing),
    b"\x81": ("NEWOBJ", _nothing),
    b"\x92": ("NEWOBJ_EX", _nothing),
    b"b": ("BUILD", _nothing),
    b"P": ("PERSID", lambda cursor: _utf8(cursor.line())),
    b"Q": ("BINPERSID", _nothing),
}
_BY_NUMBER = [_OPCODES.get(bytes([code])) for code in range(256)]
_AT_ONCE = 32
#: A name takes as long as so many values.
_NAMING, _NAMING_COST = {"GLOBAL", "STACK_GLOBAL", "INST"}, 10
NAMES = frozenset(name for name, _ in _OPCODES.values())


def tokens(content: bytes, budget: Budget) -> Iterator[tuple[str, Any]]:
    """Yield the name and the argument of each instruction, up to and with ``STOP``.

    Opcodes that only push their argument are all called ``PUSH``; the three sizes of ``PUT`` and
    ``GET`` go by one name.

    Raises:
        BadCheckpoint: The pickle is malformed, too long, or goes on after ``STOP``.
    """
    cursor, name, end, paid = _Cursor(content), "", len(content), 0
    try:
        while name != "STOP":
            # Paid in advance, because a call for each one takes as long as the rest.
            if not paid:
                budget.spend("opcodes", _AT_ONCE)
                paid = _AT_ONCE
            paid -= 1
            if cursor.at >= end:
                raise BadCheckpoint("a pickle ends too early")
            code = content[cursor.at]
            cursor.at += 1
            known = _BY_NUMBER[code]
            if known is None:
                raise BadCheckpoint(f"a pickle has the opcode {code:02x}, which no agent needs")
            name, read = known
            if name in _NAMING:
                budget.spend("opcodes", _NAMING_COST)
            yield name, None if read is _nothing else read(cursor)
    except (ValueError, OverflowError) as error:
        raise BadCheckpoint(f"a pickle is malformed: {error!s:.80}") from error
    if cursor.at != len(content):
        raise BadCheckpoint("a pickle goes on after its end")
