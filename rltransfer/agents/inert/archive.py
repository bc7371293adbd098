"""Zip archives, read whole and with suspicion."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib

from rltransfer.agents.inert.limits import Budget
from rltransfer.errors import BadCheckpoint

_END, _LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_ENTRY = 46  # bytes of a central entry without its name
_LOCAL = 30  # bytes of a local header without its name
_MAX_RATIO = 20  # weights hardly shrink; SB3 and torch do not compress at all
_RATIO_MATTERS = 2**20
_NAME = re.compile(r"[\w.][\w. \-]*(/[\w.][\w. \-]*)*")
_ENCRYPTED = 0x1


def read_archive(content: bytes, budget: Budget) -> dict[str, bytes]:
    """Read all members of a zip archive.

    Args:
        content: The whole archive.
        budget: What reading may cost.

    Returns:
        The members by name, each checked against its CRC-32.

    Raises:
        BadCheckpoint: It is malformed or too large, members overlap, share a name, are encrypted or
            links, have a name that leads elsewhere, or are packed by another method than deflate.
    """
    _check_directory(content, budget)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members, len(content), budget)
            return {member.filename: _content(content, member) for member in members}
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError),
        *(LookupError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError),
    ) as error:
        raise BadCheckpoint(f"not a sound zip archive: {error!s:.100}") from error


def _content(content: bytes, member: zipfile.ZipInfo) -> bytes:
    """Cut a member out, which is much quicker than ``ZipFile.read`` where there are many."""
    at = member.header_offset
    signature, names, extras = struct.unpack_from("<4s22xHH", content, at)
    start = at + _LOCAL + names
    name = content[at + _LOCAL : start]
    if signature != b"PK\x03\x04" or name != member.orig_filename.encode():
        raise BadCheckpoint(f"member {member.filename!r} is not where the archive says")
    start += extras
    packed = content[start : start + member.compress_size]
    if member.compress_type == zipfile.ZIP_DEFLATED:
        unpacker = zlib.decompressobj(-15)
        packed = unpacker.decompress(packed, member.file_size + 1)
    if len(packed) != member.file_size or zlib.crc32(packed) != member.CRC:
        raise BadCheckpoint(f"member {member.filename!r} is corrupt: its CRC-32 does not fit")
    return packed


def _check_directory(content: bytes, budget: Budget) -> None:
    """Look at the size of the list of members before it is parsed."""
    end = content[-22:]
    if len(end) < 22 or not end.startswith(_END) or end[20:] != b"\0\0":
        raise BadCheckpoint("not a zip archive, or truncated, or with something after its end")
    count, size = struct.unpack("<HI", end[10:16])
    if content[-42:-38] == _LOCATOR:
        (at,) = struct.unpack("<Q", content[-34:-26])
        if at + 56 > len(content):
            raise BadCheckpoint("not a sound zip archive: its end record is missing")
        count, size = struct.unpack("<QQ", content[at + 32 : at + 48])
    # At most 8,192 members are parsed for nothing, whatever a lying count says.
    budget.spend("members", max(count, size // (_ENTRY + 210)))


def _check_members(members: list[zipfile.ZipInfo], length: int, budget: Budget) -> None:
    names = set()
    for member in members:
        _check_name(member)
        names.add(member.filename)
        if member.flag_bits & _ENCRYPTED:
            raise BadCheckpoint(f"member {member.filename!r} is encrypted")
        if member.compress_type == zipfile.ZIP_STORED:
            if member.compress_size != member.file_size:
                raise BadCheckpoint(f"member {member.filename!r} has two sizes")
        elif member.compress_type == zipfile.ZIP_DEFLATED:
            _check_ratio(member, budget)
        else:
            raise BadCheckpoint(f"member {member.filename!r} is packed by an unusual method")
    if len(names) != len(members):
        raise BadCheckpoint("a zip archive has two members of one name")
    _check_overlap(members, length)


def _check_name(member: zipfile.ZipInfo) -> None:
    name = member.filename
    sound = _NAME.fullmatch(name) and name == member.orig_filename
    if not sound or any(part.strip(". ") == "" for part in name.split("/")):
        raise BadCheckpoint(f"a zip archive has a member named {name!r:.80}")
    kind = member.external_attr >> 28
    if kind not in (0, 0o10):  # neither unknown nor a regular file
        raise BadCheckpoint(f"member {name!r} is not a regular file")


def _check_ratio(member: zipfile.ZipInfo, budget: Budget) -> None:
    budget.spend("unpacked_bytes", member.file_size)
    large = member.file_size > _RATIO_MATTERS
    if large and member.file_size > _MAX_RATIO * member.compress_size:
        raise BadCheckpoint(f"member {member.filename!r} unpacks to far more than its size")


def _check_overlap(members: list[zipfile.ZipInfo], length: int) -> None:
    members = sorted(members, key=lambda member: member.header_offset)
    if members and members[0].header_offset > 0:
        raise BadCheckpoint("a zip archive has something before its first member")
    end = 0
    for member in members:
        if member.header_offset < end:
            raise BadCheckpoint("members of a zip archive overlap")
        end = member.header_offset + _LOCAL + len(member.filename) + member.compress_size
    if end > length:
        raise BadCheckpoint("a zip archive is truncated")
