"""Zip archives written field by field, so that every field can lie."""

from __future__ import annotations

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")


@dataclass
class Entry:
    """One member; what is in ``local`` or ``central`` replaces what would be true there.

    Their keys are ``version``, ``flags``, ``method``, ``crc``, ``packed``, ``size``, ``name``,
    ``extra``, and in ``central`` also ``disk``, ``external`` and ``offset``.
    """

    name: bytes
    content: bytes
    method: int = 0
    packed: bytes | None = None
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def data(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflate(self.content) if self.method == 8 else self.content

    def facts(self) -> dict[str, Any]:
        return {
            **{"version": 20, "flags": 0, "method": self.method, "extra": b"", "name": self.name},
            **{"crc": zlib.crc32(self.content), "size": len(self.content)},
            **{"packed": len(self.data()), "disk": 0, "external": 0o600 << 16},
        }


def deflate(content: bytes, level: int = 9) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


@functools.lru_cache(maxsize=8)
def zeros(size: int) -> tuple[bytes, int]:
    """Return so many millions of zeros, deflated without having them in memory, and their CRC."""
    block, crc = bytes(10**6), 0
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(size):
        crc = zlib.crc32(block, crc)
    return packed * size + packer.flush(), crc


def write(
    entries: Iterable[Entry], *, prefix: bytes = b"", comment: bytes = b"", **end: Any
) -> bytes:
    """Write an archive.

    ``end`` may replace the ``disk``, ``count``, ``total``, ``size`` and ``offset`` at its end.
    """
    out, directory, count = io.BytesIO(), [], 0
    out.write(prefix)
    for entry in entries:
        directory.append(_central(entry, out.tell()))
        out.write(_local(entry))
        out.write(entry.data())
        count += 1
    facts = {"disk": 0, "count": count, "total": count, "offset": out.tell()}
    facts |= {"size": sum(map(len, directory)), **end}
    out.write(b"".join(directory))
    if facts.get("zip64"):
        _end64(out, facts)
    numbers = (facts["disk"], facts["disk"], facts["count"] & 0xFFFF, facts["total"] & 0xFFFF)
    places = (facts["size"] & 0xFFFFFFFF, facts["offset"] & 0xFFFFFFFF)
    out.write(_END.pack(b"PK\5\6", *numbers, *places, len(comment)) + comment)
    return out.getvalue()


def _end64(out: io.BytesIO, facts: dict[str, Any]) -> None:
    at = out.tell()
    numbers = (facts["count"], facts["total"], facts["size"], facts["offset"])
    out.write(_END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, *numbers))
    out.write(_LOCATOR.pack(b"PK\6\7", 0, facts.get("at64", at), 1))


def _local(entry: Entry) -> bytes:
    f = {**entry.facts(), **entry.local}
    name, extra = f["name"], f["extra"]
    head = (b"PK\3\4", f["version"], f["flags"], f["method"], 0, 33)
    return (
        _LOCAL.pack(*head, f["crc"], f["packed"], f["size"], len(name), len(extra)) + name + extra
    )


def _central(entry: Entry, offset: int) -> bytes:
    f = {**entry.facts(), "offset": offset, **entry.central}
    name, extra = f["name"], f["extra"]
    head = (b"PK\1\2", f["version"] | 3 << 8, f["version"], f["flags"], f["method"], 0, 33)
    sizes = (f["crc"], f["packed"], f["size"], len(name), len(extra), 0)
    places = (f["disk"], 0, f["external"] & 0xFFFFFFFF, f["offset"])
    return _CENTRAL.pack(*head, *sizes, *places) + name + extra


def entries(members: Mapping[str, bytes]) -> list[Entry]:
    return [Entry(name.encode(), content) for name, content in members.items()]


def pack(members: Mapping[str, bytes]) -> bytes:
    """Write a sound archive without compression."""
    return write(entries(members))


def unpack(content: bytes) -> dict[str, bytes]:
    """Read a sound archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
