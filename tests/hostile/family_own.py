"""Pairs of files of our own format; every change is to be refused."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable
from typing import Any

from hostile import bases as b
from hostile import edits
from hostile.bases import Base, Bases
from hostile.family_claims import VALUES
from hostile.samples import Sample, family


def _pair(tensors: bytes, text: bytes, **more: bytes) -> dict[str, bytes]:
    files = {"agent.safetensors": tensors, "agent.json": text}
    return files | {name.replace("_", "."): content for name, content in more.items()}


def _render(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode("ascii")


def seal(tensors: bytes, data: dict[str, Any]) -> dict[str, bytes]:
    """Return the two files with right hashes, whatever is in them."""
    weights = {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()}
    body = {**{k: v for k, v in data.items() if k != "sha256"}, "weights": weights}
    digest = hashlib.sha256(_render(body)).hexdigest()
    return _pair(tensors, _render({**body, "sha256": digest}))


@family(300, 3000)
def own_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    base = bases.small(rng)
    files = list(base.own)
    change = rng.choice((edits.flip, edits.flip, edits.cut))
    changed = change(files[index % 2], rng)
    same = changed == files[index % 2]
    files[index % 2] = changed
    return Sample(_pair(*files), "agent", "either" if same else "refused", base.name)


@family(40, 100)
def own_mixtures(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Files of two agents, missing files, and texts that a crash could have left."""
    one, two = rng.sample([bases[name] for name in b.SMALL], 2)
    choices: tuple[tuple[dict[str, bytes], str], ...] = (
        (_pair(one.own[0], two.own[1]), "refused"),
        ({"agent.safetensors": one.own[0]}, "refused"),
        ({"agent.json": one.own[1]}, "refused"),
        (_pair(one.own[0], two.own[1], agent_json_new=two.own[1]), "refused"),
        (_pair(one.own[0], two.own[1], agent_json_new=one.own[1]), "loads"),
        (_pair(one.own[0], one.own[1], agent_json_new=b"[" * 10**6), "loads"),
        (_pair(one.own[0], one.own[1], agent_zip=one.files()["agent.zip"]), "loads"),
        (_pair(one.own[1], one.own[0]), "refused"),
    )
    files, expect = choices[index % len(choices)]
    return Sample(files, "agent", expect, f"{one.name} and {two.name}, way {index % len(choices)}")


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [path, *(deeper for key, part in items for deeper in _paths(part, (*path, key)))]


@family(500, 4000)
def own_values(bases: Bases, rng: random.Random, index: int) -> Sample:
    """One value of the text replaced, removed or added, with right hashes."""
    base = bases.small(rng)
    data = json.loads(base.own[1])
    path = rng.choice(_paths(data)[1:])
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    way = rng.randrange(6)
    if way == 0:
        del parent[path[-1]]
    elif way == 1 and isinstance(parent, dict):
        parent[rng.choice(("more", "__class__", "$eval", "", "\x1b"))] = rng.choice(VALUES)
    else:
        parent[path[-1]] = rng.choice(VALUES)
    return Sample(seal(base.own[0], data), "agent", note=f"{path} of {base.name}, way {way}")


# ---- the text ----


def _nested(base: Base, inner: bytes) -> dict[str, bytes]:
    """The text with raw JSON in its card's notes, sealed as far as that can be."""
    marked = json.loads(base.own[1])
    marked["card"]["notes"] = "@@"
    files = seal(base.own[0], marked)
    return {**files, "agent.json": files["agent.json"].replace(b'"@@"', inner)}


_INNER = (
    *(b"[" * 10**6, b"[" * 900 + b"]" * 900, b'{"a":' * 10**5 + b"1" + b"}" * 10**5, b"7" * 10**6),
    *(
        b"NaN",
        b"1e999",
        b'"\\ud800"',
        b'"\xff"',
        b'{"a":1,"a":1}',
        b'"' + b"a" * 10**7 + b'"',
        b"0.1e1",
    ),
    *(
        b"[" + b"1," * 3_000_000 + b"1]",
        b"[" + b"{}," * 300_000 + b"1]",
        b"[" + b'"a",' * 10**6 + b"1]",
    ),
)


@family(len(_INNER) * 2, len(_INNER) * 10)
def own_texts(bases: Bases, rng: random.Random, index: int) -> Sample:
    base = bases.small(rng)
    files = _nested(base, _INNER[index % len(_INNER)])
    return Sample(files, "agent", "refused", note=f"text {index % len(_INNER)}")


# ---- the tensors ----


def _header(base: Base) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", base.own[0][:8])
    return json.loads(base.own[0][8 : 8 + length]), base.own[0][8 + length :]


def _file(header: Any, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


_FACTS: tuple[dict[str, Any], ...] = (
    *(
        {"dtype": kind}
        for kind in ("F64", "F16", "BF16", "I8", "U8", "BOOL", "X", "", 1, None, "F8_E4M3", "C64")
    ),
    *(
        {"shape": s}
        for s in (
            [2**62],
            [2**31, 2**31, 2**31],
            [-1],
            [1.5],
            "x",
            None,
            [],
            [0],
            [1] * 70,
            [2**64],
        )
    ),
    *(
        {"data_offsets": o}
        for o in ([0, 0], [0, 2**62], [4, 0], [-4, 0], [0], None, [0, 4, 8], "x", [1, 5])
    ),
    *({"more": 1}, {"shape": [True]}, {"data_offsets": [0, 10**30]}),
)


@family(len(_FACTS) * 4, len(_FACTS) * 30)
def own_tensors(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Facts of one tensor replaced, with right hashes."""
    base = bases.small(rng)
    header, data = _header(base)
    names = [n for n, t in header.items() if n.startswith("policy/") and len(t["shape"]) == 2]
    name, facts = rng.choice(names), _FACTS[index % len(_FACTS)]
    header[name] = {**header[name], **facts}
    files = seal(_file(header, data), json.loads(base.own[1]))
    return Sample(files, "agent", note=f"{name} of {base.name} with {facts}")


_FILES: tuple[Callable[[dict[str, Any], bytes], bytes], ...] = (
    lambda header, data: b"",
    lambda header, data: bytes(7),
    lambda header, data: struct.pack("<Q", 2**63) + data,
    lambda header, data: _file(header, data, 2**24 + 1),
    lambda header, data: _file(header, data, 3),
    lambda header, data: _file(b"[" * 10**6, data),
    lambda header, data: _file(b'{"a":' * 10**5, data),
    lambda header, data: _file(b"9" * 10**6, data),
    lambda header, data: _file(b"\xff\xfe{}", data),
    lambda header, data: _file({}, b""),
    lambda header, data: _file({}, data),
    lambda header, data: _file([], data),
    lambda header, data: _file(header, data + b"\0"),
    lambda header, data: _file(header, data[:-1]),
    lambda header, data: _file({**header, "__metadata__": {"a": 1}}, data),
    lambda header, data: _file({**header, "__metadata__": {"a": "b" * 10**6}}, data),
    lambda header, data: _file(
        {**header, "policy/more": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, data
    ),
    lambda header, data: _file(
        {**header, "policy/huge": {"dtype": "F32", "shape": [0, 2**40], "data_offsets": [0, 0]}},
        data,
    ),
    lambda header, data: _file(
        {**header, "\x1b[31m": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, data
    ),
    lambda header, data: _file(
        {
            f"policy/{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
            for i in range(100_000)
        },
        b"",
    ),
    lambda header, data: _file(
        {name: {**fact, "data_offsets": [0, 4]} for name, fact in header.items()}, data
    ),
    lambda header, data: _file(header, b"\xff" * len(data)),
    lambda header, data: _file(header, bytes(len(data))),
    lambda header, data: b"PK\3\4" + data,
    lambda header, data: b"\x80\x04cos\nsystem\nS'touch hostile-marker'\n\x85R.",
)


@family(len(_FILES) * 2, len(_FILES) * 14)
def own_tensor_files(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Other tensors altogether, with right hashes."""
    base = bases.small(rng)
    content = _FILES[index % len(_FILES)](*_header(base))
    note = f"file {index % len(_FILES)} of {base.name}"
    return Sample(seal(content, json.loads(base.own[1])), "agent", note=note)
