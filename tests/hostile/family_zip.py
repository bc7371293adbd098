"""Archives that are broken, or that lie about what is in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from hostile import edits, zips
from hostile.bases import Base, Bases
from hostile.samples import Sample, family
from hostile.zips import Entry

Members = Mapping[str, bytes]


@family(300, 1500)
def zip_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Changed bytes of the whole file; every second one within the archive's own records."""
    base = bases.draw(rng)
    files = base.files()
    content = bytearray(files["agent.zip"])
    if index % 2:
        heads = [at for sign in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for at in _places(content, sign)]
        for _ in range(rng.choice((1, 1, 2))):
            at = min(rng.choice(heads) + rng.randrange(46), len(content) - 1)
            content[at] ^= rng.randrange(1, 256)
        return Sample({**files, "agent.zip": bytes(content)}, note=f"{base.name}, in a record")
    return Sample({**files, "agent.zip": edits.flip(bytes(content), rng)}, note=base.name)


def _places(content: bytes | bytearray, sign: bytes) -> list[int]:
    places, at = [], content.find(sign)
    while at >= 0:
        places.append(at)
        at = content.find(sign, at + 1)
    return places


@family(150, 750)
def zip_cuts(bases: Bases, rng: random.Random, index: int) -> Sample:
    base = bases.draw(rng)
    files = base.files()
    return Sample({**files, "agent.zip": edits.cut(files["agent.zip"], rng)}, note=base.name)


# ---- lies, each of which must be refused, wherever the archive is ----


def _first(members: Members, **central: object) -> bytes:
    entries = zips.entries(members)
    entries[0].central = dict(central)
    return zips.write(entries)


def _both(members: Members, **facts: object) -> bytes:
    entries = zips.entries(members)
    entries[0].central, entries[0].local = dict(facts), dict(facts)
    return zips.write(entries)


def _more(members: Members, *entries: Entry) -> bytes:
    return zips.write([*zips.entries(members), *entries])


def _bomb(members: Members, size: int) -> bytes:
    """The first member as a sound one that unpacks to ``size`` million zeros."""
    packed, crc = zips.zeros(size)
    entries = zips.entries(members)
    facts = {"crc": crc, "size": size * 10**6}
    entries[0] = Entry(entries[0].name, b"", 8, packed, dict(facts), dict(facts))
    return zips.write(entries)


def _lying_bomb(members: Members, size: int) -> bytes:
    """A bomb that claims to be a member of 1 kB."""
    packed, crc = zips.zeros(size)
    entries = zips.entries(members)
    facts = {"crc": crc, "size": 1000}
    entries[0] = Entry(entries[0].name, b"", 8, packed, dict(facts), dict(facts))
    return zips.write(entries)


def _overlapping(members: Members) -> bytes:
    """Many entries that share one compressed kernel."""
    packed, crc = zips.zeros(30)
    facts = {"crc": crc, "size": 30_000_000}
    kernel = Entry(b"k.pth", b"", 8, packed, dict(facts), dict(facts))
    names = [f"{i}.pth".encode() for i in range(50)]
    return zips.write([kernel, *(_twin(kernel, name) for name in names), *zips.entries(members)])


def _twin(kernel: Entry, name: bytes) -> Entry:
    facts = {**kernel.facts(), "name": name, "offset": 0}
    return Entry(name, b"", 8, b"", {"size": 0, "crc": 0, "packed": 0}, facts)


def _quoted(members: Members) -> bytes:
    """Each member's data hold the next one's header, as in the best zip bombs."""
    inner = zips.write([Entry(b"inner.pth", bytes(1000))])
    return zips.write([Entry(b"outer.pth", inner), *zips.entries(members)], count=len(members) + 2)


def _name(name: bytes, flags: int = 0) -> Callable[[Members], bytes]:
    facts = {"flags": flags}
    return lambda m: _more(m, Entry(name, b"x", local=dict(facts), central=dict(facts)))


def _renamed(members: Members, name: bytes) -> bytes:
    """The local header has another name than the directory."""
    return zips.write([Entry(n.encode(), c, local={"name": name}) for n, c in members.items()])


def _many(count: int) -> Callable[[Members], bytes]:
    return lambda m: _more(m, *(Entry(f"x/{i}".encode(), b"") for i in range(count)))


def _many_unnamed(members: Members) -> bytes:
    """More entries than the end record says."""
    entries = [*zips.entries(members), *(Entry(b"a", b"") for _ in range(70_000))]
    return zips.write(entries, count=len(members), total=len(members))


def _extra(header: int, body: bytes) -> Callable[[Members], bytes]:
    field = header.to_bytes(2, "little") + len(body).to_bytes(2, "little") + body
    return lambda m: _both(m, extra=field, size=0xFFFFFFFF, packed=0xFFFFFFFF)


def _zip64(**lies: int) -> Callable[[Members], bytes]:
    return lambda m: zips.write(zips.entries(m), zip64=True, **lies)


def _matryoshka(members: Members) -> bytes:
    """A sound archive in the place of the first member, forty times."""
    content = zips.pack(members)
    name = next(iter(members))
    for _ in range(40):
        content = zips.pack({**members, name: content})
    return content


_LINK = 0o120777 << 16
_LIES: dict[str, Callable[[Members], bytes]] = {
    **{f"bomb of {size} MB": lambda m, size=size: _bomb(m, size) for size in (30, 200, 2000)},
    "bomb that claims 1 kB": lambda m: _lying_bomb(m, 100),
    "overlapping entries": _overlapping,
    "quoted entries": _quoted,
    "matryoshka": _matryoshka,
    "the same name twice": lambda m: _more(m, *zips.entries(m)[:1]),
    "a name in other case twice": lambda m: _more(m, Entry(b"DATA", b"x"), Entry(b"DATA", b"x")),
    **{
        f"name {name!r:.30}": _name(name)
        for name in (
            *(b"../data", b"../../etc/cron.d/x", b"/etc/passwd", b"C:\\x", b"a\\..\\b", b"", b"a/"),
            *(b"a\x00b", b"./data", b"a//b", b"\x1b[31mred", b"nul\n", b"..", b"~/x"),
        )
    },
    "long name": _name(b"x" * 60_000),
    "name of surrogates": _name(b"\xed\xa0\x80", 0x800),
    "name that is no utf-8": _name(b"\xff\xfe", 0x800),
    "symbolic link": lambda m: _first(m, external=_LINK),
    "device": lambda m: _first(m, external=0o020666 << 16),
    "folder": lambda m: _more(m, Entry(b"folder/", b"", central={"external": 0o040755 << 16})),
    "encrypted": lambda m: _both(m, flags=1),
    "strongly encrypted": lambda m: _both(m, flags=0x41),
    "patch data": lambda m: _both(m, flags=0x20),
    **{
        f"method {method}": lambda m, method=method: _both(m, method=method)
        for method in (1, 9, 12, 14, 93, 99)
    },
    "version 9.9": lambda m: _both(m, version=99),
    "size too large": lambda m: _both(m, size=10**6),
    "size too small": lambda m: _both(m, size=1),
    "packed size too large": lambda m: _both(m, packed=2**31),
    "packed size of zero": lambda m: _both(m, packed=0),
    "wrong CRC": lambda m: _both(m, crc=12345),
    "offset into another": lambda m: _first(m, offset=10),
    "offset beyond the end": lambda m: _first(m, offset=2**31),
    "local name differs": lambda m: _renamed(m, b"other"),
    "local name is shorter": lambda m: _renamed(m, b""),
    "zip64 sizes of 2**63": _extra(1, (2**63).to_bytes(8, "little") * 3),
    "zip64 sizes cut": _extra(1, b"\0\0\0"),
    "zip64 end elsewhere": _zip64(at64=0),
    "zip64 end beyond": _zip64(at64=2**62),
    "zip64 with 2**60 members": _zip64(count=2**60, total=2**60),
    "zip64 with a huge directory": _zip64(size=2**62),
    "zip64 with a far directory": _zip64(offset=2**63 - 1),
    "fewer members than said": lambda m: zips.write(zips.entries(m), count=40_000, total=40_000),
    "directory of another size": lambda m: zips.write(zips.entries(m), size=7),
    "directory elsewhere": lambda m: zips.write(zips.entries(m), offset=2**30),
    "second disk": lambda m: zips.write(zips.entries(m), disk=3),
    "more members than said": _many_unnamed,
    **{f"{count} members": _many(count) for count in (9_000, 60_000)},
    "a comment of 60 kB": lambda m: zips.write(zips.entries(m), comment=b"c" * 60_000),
    "no members": lambda m: zips.write([]),
    "something before": lambda m: zips.write(zips.entries(m), prefix=b"#!/bin/sh\n" * 9),
    "something after": lambda m: zips.pack(m) + b"rest",
    "two archives": lambda m: zips.pack(m) * 2,
    "text": lambda m: b"not a zip archive at all" * 9,
    "tar": lambda m: b"data".ljust(100, b"\0") + bytes(157) + b"ustar  \0" + bytes(760),
    "nothing": lambda m: b"",
    "end alone": lambda m: b"PK\5\6" + bytes(18),
    "end of ones": lambda m: b"PK\5\6" + b"\xff" * 18,
}
#: Lies that a tolerant reader may well overlook, because what it reads is whole and unambiguous.
_BLAMELESS = {
    *("size too large", "something before", "version 9.9", "second disk", "directory elsewhere"),
    *("fewer members than said", "zip64 with 2**60 members", "9000 members", "two archives"),
    *(
        "zip64 with a far directory",
        "a name in other case twice",
        "quoted entries",
        "a comment of 60 kB",
    ),
    *(
        "long name",
        "patch data",
        "more members than said",
        "60000 members",
        "zip64 with a huge directory",
    ),
}


def _tensors(base: Base, lie: Callable[[Members], bytes]) -> dict[str, bytes]:
    return base.files({"policy.pth": lie(zips.unpack(base.members["policy.pth"]))})


@family(len(_LIES) * 2, len(_LIES) * 2 * 5)
def zip_lies(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Of the file itself, and of the archive of tensors in it."""
    base, name = bases.small(rng), list(_LIES)[index // 2 % len(_LIES)]
    lie = _LIES[name]
    files = _tensors(base, lie) if index % 2 else {**base.files(), "agent.zip": lie(base.members)}
    return Sample(files, expect="either" if name in _BLAMELESS else "refused", note=name)


@family(80, 200)
def zip_contents(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Sound archives whose members are missing, empty, exchanged, or of another agent."""
    base, other = bases.draw(rng), bases.draw(rng)
    names = list(base.members)
    one, two = rng.sample(names, 2)
    changes: tuple[dict[str, bytes | None], ...] = (
        {one: None},
        {one: b""},
        {one: base.members[two], two: base.members[one]},
        {one: other.members[one]},
        {one: rng.randbytes(rng.choice((1, 100, 5000)))},
        {"tensors.pth": base.members["pytorch_variables.pth"]},
        {"replay_buffer.pkl": b"cos\nsystem\n(S'touch hostile-marker'\ntR."},
        {"policy.pth.pkl": b"x", "__init__.py": b"open('hostile-marker', 'w')"},
        {f"{one}/inner": b"x"},
        {name: None for name in names if name != one},
    )
    return Sample(base.files(changes[index % len(changes)]), note=f"{base.name}, {one}")
