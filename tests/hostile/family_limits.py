"""Files that stay just within every limit, and so cost as much as a file can cost."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from hostile import archives, opcodes, zips
from hostile import bases as base_files
from hostile.archives import tensor
from hostile.bases import Base, Bases
from hostile.family_members import with_pickle
from hostile.opcodes import name, text
from hostile.samples import Sample, family
from rltransfer.agents.inert import Limits

_LIMITS = Limits()
_OPCODES = _LIMITS.opcodes - 10_000
_UNNEEDED = 280_000  # instructions of what is only looked through
_NODES = _LIMITS.nodes - 10_000


def _names(count: int) -> bytes:
    """Names that are all different, as short as they can be."""
    return b"".join(b"cm\n%x\n0" % i for i in range(count))


def _instructions(kind: str, count: int) -> bytes:
    """About so many instructions that a reader has to keep something of."""
    return {
        "values": lambda: b"]" + b"(" + b"N" * count + b"e0",
        "lists": lambda: b"]" + b"(" + b"]" * count + b"e0",
        "calls": lambda: name("a", "b") + b"\x94(" + b"h\x00)R" * (count // 3) + b"l0",
        "states": lambda: name("a", "b") + b"\x94(" + b"h\x00)\x81}b" * (count // 5) + b"l0",
        "dicts": lambda: b"(" + b"}NNs" * (count // 4) + b"l0",
        "names": lambda: _names(count // 12),  # each counts as much as ten others
        "texts": lambda: b"(" + text("a" * 20) * count + b"l0",
        "numbers": lambda: b"(" + opcodes.number(2**500) * count + b"l0",
        "memo": lambda: b"(" + b"N\x94" * (count // 2) + b"l0",
        "deep": lambda: b"N" + b"\x85" * count + b"0",
    }[kind]()


_KINDS = (
    "values",
    "lists",
    "calls",
    "states",
    "dicts",
    "names",
    "texts",
    "numbers",
    "memo",
    "deep",
)


def _before(base: Base, field: str, code: bytes) -> bytes:
    """The pickle of a field, after instructions whose result is dropped."""
    valid = opcodes.split(base.pickle(field))
    return b"".join([valid[0], code, *valid[1:]])


@family(len(_KINDS) * 2, len(_KINDS) * 14)
def instruction_limits(bases: Bases, rng: random.Random, index: int) -> Sample:
    """As many instructions as are read: in fields that are needed, in others, in statistics."""
    kind, base = _KINDS[index % len(_KINDS)], bases["normalized"]
    share = 1.0 if index < len(_KINDS) else rng.random()
    data, beside = _loaded(base, kind, share)
    return Sample({**base.with_data(data), **beside}, note=kind)


def _loaded(base: Base, kind: str, share: float) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return data and statistics with a share of as many instructions as are read."""
    data = base.data()
    for field, most in (("observation_space", _OPCODES), ("ep_info_buffer", _UNNEEDED)):
        code = _instructions(kind, int(most * share))
        data[field] = base_files.entry(_before(base, field, code), data[field])
    valid = opcodes.split(base.beside["vecnormalize.pkl"])
    code = _instructions(kind, int(_OPCODES * share))
    return data, {"vecnormalize.pkl": b"".join([valid[0], code, *valid[1:]])}


def _list(value: bytes, share: float = 1.0) -> bytes:
    """A list as long as the number of values and the length of the text allow."""
    room = _LIMITS.json_bytes - 200_000
    return b"[" + value * min(int(_NODES * share), room // len(value)) + b"1]"


def _long(value: bytes) -> bytes:
    return value * ((_LIMITS.json_bytes - 200_000) // len(value))


_JSONS: dict[str, Callable[[], bytes]] = {
    "lists": lambda: _list(b"[],", 0.5),
    "objects": lambda: _list(b'{"a":1},', 0.5),
    "numbers": lambda: _list(b"1,"),
    "long numbers": lambda: _list(b"9" * 59 + b","),
    "long reals": lambda: _list(b"0." + b"7" * 50 + b","),
    "texts": lambda: _list(b'"' + b"ab" * 70 + b'",'),
    "keys": lambda: b"{" + b",".join(b'"%x":1' % i for i in range(_NODES)) + b"}",
    "pickles": lambda: (
        b"{" + b",".join(b'"%x":{":serialized:":""}' % i for i in range(_NODES // 2)) + b"}"
    ),
    "escapes": lambda: b'"' + _long(b"\\u1234") + b'"',
    "base64": lambda: b'{":serialized:": "' + _long(b"AAAA") + b'"}',
    "a pickled text": lambda: b'{":serialized:": "gASNAAC6AAAAAAAA' + _long(b"AAAA") + b'"}',
    "a text": lambda: b'"' + _long("\u1234".encode()) + b'"',
    "spaces": lambda: b"[" + _long(b" ") + b"]",
}


@family(len(_JSONS) * 3, len(_JSONS) * 6)
def json_limits(bases: Bases, rng: random.Random, index: int) -> Sample:
    """A text as long as is read: in an unknown field, in a needed one, and all over."""
    kind, base = list(_JSONS)[index % len(_JSONS)], bases["box"]
    value, field = _JSONS[kind](), (b"unknown", b"policy_kwargs", b"")[index // len(_JSONS) % 3]
    data = base.members["data"].rstrip()[:-1]
    if field == b"":
        return Sample(base.with_data(data + b"," + value.strip(b"{}") + b"}"), note=f"{kind}, all")
    # As the only one of that name.
    data = data.replace(b'"' + field + b'"', b'"another"')
    return Sample(base.with_data(data + b', "' + field + b'": ' + value + b"}"), note=kind)


def _views(size: int) -> bytes:
    """Views of one storage, that together are as large as is read."""
    one = tensor(np.zeros(size // 4, np.float32), "big")
    count = min(_LIMITS.tensors - 100, _LIMITS.tensor_bytes // size - 1)
    return archives.write({f"extra.{i}": one for i in range(count)})


def _scattered() -> bytes:
    """Views whose elements lie far apart."""
    one = tensor(np.zeros(2**22, np.float32), "big")
    wide = archives.change(one, size=(2048, 2048), stride=(1, 2048))
    return archives.write({f"extra.{i}": wide for i in range(12)})


def _compressed() -> bytes:
    """Storages that are packed twenty to one."""
    content = np.tile(np.random.default_rng(0).random(256, np.float32), 2**10)
    one = {f"w{i}": tensor(content, str(i)) for i in range(50)}
    entries = zips.entries(zips.unpack(archives.write(one)))
    for entry in entries:
        entry.method = 8
    return zips.write(entries)


_ARCHIVES: dict[str, Callable[[], bytes]] = {
    **{f"views of {size}": lambda size=size: _views(size) for size in (2**16, 2**20, 2**25)},
    "scattered views": _scattered,
    "compressed": _compressed,
    "60 MB": lambda: archives.write({"w": tensor(np.zeros(15 * 10**6, np.float32), "0")}),
    "nan at the end": lambda: archives.write(
        {"w": tensor(np.append(np.zeros(10**7, np.float32), np.float32("nan")), "0")}
    ),
}


@family(len(_ARCHIVES) * 3)
def tensor_limits(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Tensors as many and as large as are read."""
    kind = list(_ARCHIVES)[index % len(_ARCHIVES)]
    member = ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth")[
        index // len(_ARCHIVES)
    ]
    return Sample(bases["box"].files({member: _ARCHIVES[kind]()}), note=f"{kind} as {member}")


@family(3)
def large_files(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Files that are nearly as long as is read, whose tensors nobody needs."""
    one = tensor(np.zeros(2**24 - 2**18, np.float32), "big")
    weights = archives.tree(bases["box"].members["policy.pth"]) | {"extra": one}
    moments = archives.tree(bases["box"].members["policy.optimizer.pth"])
    moments["state"][0]["exp_avg"] = one
    small: dict[str, bytes | None] = {
        "policy.pth": archives.write(weights),
        "policy.optimizer.pth": archives.write(moments),
    }
    unneeded: dict[str, bytes | None] = {"pytorch_variables.pth": small.pop("policy.pth")}
    choices = (
        {**small, "policy.pth": unneeded["pytorch_variables.pth"]},
        small,
        {**small, **unneeded},
    )
    return Sample(bases["box"].files(choices[index]), note=f"{index + 1} of them")


@family(len(_KINDS))
def everything(bases: Bases, rng: random.Random, index: int) -> Sample:
    """All of this at once, in a file that is not refused before it was all read."""
    base, kind = bases["normalized"], _KINDS[index]
    data, beside = _loaded(base, kind, 0.8)
    text = base_files.dump(data)[:-1] + b', "more": ' + _list(b"0.12345,", 0.2) + b"}"
    code = _instructions(kind, _OPCODES)
    large: dict[str, bytes | None] = {
        "policy.optimizer.pth": _moments(base),
        "pytorch_variables.pth": with_pickle(
            base, "pytorch_variables.pth", lambda old: b"".join([old[:2], code, old[2:]])
        ),
    }
    return Sample({**base.files({**large, "data": text}), **beside}, note=kind)


def _moments(base: Base) -> bytes:
    """A state of an optimizer that is as large as is read, and fits no parameter."""
    tree = archives.tree(base.members["policy.optimizer.pth"])
    one = tensor(np.zeros(2**18, np.float32), "big")
    tree["state"] = {0: {f"moment_{i}": one for i in range(250)}}
    return archives.write(tree)
