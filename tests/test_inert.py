"""Pickles, torch archives, zips and JSON read as data, compared with what really loading gives."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict, deque
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch

from rltransfer.agents.inert import (
    Budget,
    Call,
    Global,
    Limits,
    array,
    dtype,
    examine,
    instance,
    named,
    plain,
    read_archive,
    read_json,
    read_tensors,
    scalar,
    state,
)
from rltransfer.errors import BadCheckpoint

PROTOCOLS = range(6)


def read(content: bytes) -> Any:
    return examine(content, Budget())[0]


def refused(content: bytes, message: str) -> None:
    with pytest.raises(BadCheckpoint, match=message):
        read(content)


# Pickles.

PLAIN = [
    None,
    True,
    [False, 0, 1, -1, 255, 256, 65_536, -(2**31), 2**40, -(2**200)],
    [0.0, -0.0, 1.5, -2.25e-300, float("inf")],
    ["", "text", "line\nbreak", "ünïcode \u20ac \U0001f600", "back\\slash", "'quotes\"", "\ud800"],
    ("one",),
    ("one", 2),
    ("one", 2, 3.0),
    ("one", 2, 3.0, None),
    (),
    {"a": {"b": [1, 2, {}]}, 3: "c"},
    list(range(5_000)),
    {str(i): i for i in range(3_000)},
    "x" * 70_000,
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: f"{value!r:.20}")
def test_plain_data_are_what_pickle_gives(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    assert repr(plain(read(content))) == repr(pickle.loads(content))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_and_looped_values_keep_their_identity(protocol: int) -> None:
    part = [1]
    both = read(pickle.dumps([part, part], protocol))
    assert both[0] is both[1]
    loop: list[Any] = []
    loop.append(loop)
    record = read(pickle.dumps(loop, protocol))
    assert record[0] is record
    with pytest.raises(BadCheckpoint, match="deeper"):
        plain(record)


class Slotted:
    __slots__ = ("x",)

    def __init__(self) -> None:
        self.x = 1


class Plain:
    def __init__(self) -> None:
        self.y, self.z = 2, "three"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_a_class_name_and_attributes(protocol: int) -> None:
    found = instance(read(pickle.dumps(Plain(), protocol)))
    assert found is not None
    kind, call = found
    assert kind == Global(__name__, "Plain")
    assert state(call) == {"y": 2, "z": "three"}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_attributes_in_slots(protocol: int) -> None:
    found = instance(read(pickle.dumps(Slotted(), protocol)))
    assert found is not None and state(found[1]) == {"x": 1}


def test_calls_and_what_is_put_into_their_results() -> None:
    record = read(pickle.dumps(deque([1, 2], maxlen=9)))
    assert isinstance(record, Call) and record.function == Global("collections", "deque")
    assert (plain(record.args), record.items) == (((), 9), [1, 2])
    ordered = read(pickle.dumps(OrderedDict(a=1, b=2)))
    assert named(ordered) == {"a": 1, "b": 2} == plain(ordered)
    assert instance(ordered) is None and instance(3) is None
    with pytest.raises(BadCheckpoint, match="collections"):
        plain(record)


def test_what_a_pickle_names_is_listed_and_never_looked_up() -> None:
    class Gone:
        """Pickled by value, as cloudpickle does for classes of a script."""

        def reach(self) -> Any:
            return json.dumps

    content = cloudpickle.dumps([Gone(), OrderedDict, np.zeros])
    names = [found.path for found in examine(content, Budget())[1]]
    assert len(names) == len(set(names))
    assert {"collections.OrderedDict", "numpy.zeros", "builtins.type"} <= set(names)
    missing = pickle.dumps(Plain(), 0).replace(b"Plain", b"Nowhere")
    assert Global(__name__, "Nowhere") in examine(missing, Budget())[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too early"),
        (b"N", "too early"),
        (b".", "empty stack"),
        (b"N.N", "goes on"),
        (b"0.", "mark"),
        (b"2.", "empty stack"),
        (b"p1\n.", "empty stack"),
        (b"g7\n.", "never stored"),
        (b"p99999999999\n.", "impossible index"),
        (b"g-1\n.", "impossible index"),
        (b"t.", "mark"),
        (b"Na.", "empty stack"),
        (b"NNa.", "no list"),
        (b"(NNNe.", "empty stack"),
        (b"N(NNe.", "no list"),
        (b"](NN\x90.", "no list"),
        (b"\x8fNa.", "no list"),
        (b"}(Nu.", "without a value"),
        (b"(NNNd.", "without a value"),
        (b"]NNs.", "no dict"),
        (b"NN\x93.", "malformed name"),
        (b"cos\nsy\x7fstem\n.", "malformed name"),
        (b"cos\nsystem\nN\x52.", "than a tuple"),
        (b"(o.", "no class"),
        (b"}}b.", "a state"),
        (b"cos\nsystem\n)\x52}b}b.", "a state"),
        (b"I1_0\n.", "malformed whole"),
        (b"I" + b"9" * 400 + b"\n.", "malformed whole"),
        (b"I" + b"9" * 4_000 + b"\n.", "overlong"),
        (b"F1_0.0\n.", "malformed number"),
        (b"S'open\n.", "quotes"),
        (b"Snone\n.", "quotes"),
        (b"S'\\x1'\n.", "malformed"),
        (b"V\\U00200000\n.", "malformed"),
        (b"X\xff\xff\xff\x7fabc.", "too early"),
        (b"\x8d" + b"\xff" * 8 + b"abc.", "too early"),
        (b"T\xff\xff\xff\xffabc.", "too early"),
        (b"X\x01\x00\x00\x00\xff.", "malformed"),
        (b"\x8a\x41" + b"\x01" * 65 + b".", "64 bytes"),
        (b"\x80\x06N.", "protocol 6"),
        (b"\x82\x01.", "opcode 82"),
        (b"\x97.", "opcode 97"),
        (b"\xff.", "opcode ff"),
    ],
    ids=lambda part: f"{part!r:.24}",
)
def test_malformed_pickles_are_refused(content: bytes, message: str) -> None:
    refused(content, message)


def test_endless_pickles_are_refused() -> None:
    refused(b"N0" * 200_000 + b"N.", "more opcodes")
    nested = read(b"(" * 40_000 + b"N" + b"t" * 40_000 + b".")
    with pytest.raises(BadCheckpoint, match="deeper"):
        plain(nested)


def test_a_value_that_is_shared_too_often_is_refused() -> None:
    # Sixteen levels of ten references each to the level below: 10**15 values in 400 bytes.
    bomb = b"N" + b"".join(b"p%d\n0(" % i + b"g%d\n" % i * 10 + b"t" for i in range(15)) + b"."
    with pytest.raises(BadCheckpoint, match="more nodes"):
        plain(read(bomb))


def test_keys_that_collide_cost_nothing() -> None:
    keys = b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(40_000))
    record = read(b"}(" + keys + b"u.")
    with pytest.raises(BadCheckpoint, match="key"):
        plain(record)


# NumPy.

ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.array([True, False]),
    np.array(7, dtype=np.int16),
    np.zeros((0, 4), np.uint8),
    np.arange(256, dtype=np.uint8),
    np.arange(20, dtype=np.int64)[::2],
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype}{value.shape}")
def test_arrays_are_equal(value: np.ndarray, protocol: int) -> None:
    found = array(read(pickle.dumps(value, protocol)))
    assert found.dtype == value.dtype and found.flags.c_contiguous and found.flags.owndata
    assert np.array_equal(found, value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_and_dtypes_of_numpy(protocol: int) -> None:
    for value in (np.float32(0.1), np.int64(-3), np.bool_(True)):
        found = scalar(read(pickle.dumps(value, protocol)))
        assert found == value.item() and type(found) is type(value.item())
    for kind in (np.dtype("float32"), np.dtype("uint8"), np.dtype(bool)):
        assert dtype(read(pickle.dumps(kind, protocol))) == kind
    assert dtype(read(pickle.dumps(np.float64, protocol))) == np.float64


def test_names_of_older_numpy_are_known() -> None:
    content = pickle.dumps(np.arange(3), 2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != content and array(read(old)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "value",
    [
        np.array([None, 1], dtype=object),
        np.array(["text"]),
        np.arange(3, dtype=">f4"),
        np.zeros(2, dtype=[("a", "f4")]),
        np.array([1 + 2j]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
    ],
    ids=lambda value: str(value.dtype),
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_other_arrays_are_refused(value: np.ndarray, protocol: int) -> None:
    with pytest.raises(BadCheckpoint):
        array(read(pickle.dumps(value, protocol)))


def test_arrays_that_their_bytes_do_not_fill_are_refused() -> None:
    content = pickle.dumps(np.arange(4, dtype=np.int64), 2)
    assert b"K\x04\x85" in content
    for shape in (b"K\x05\x85", b"K\x03\x85", b"J\xff\xff\xff\xff\x85", b"N\x85"):
        with pytest.raises(BadCheckpoint, match=r"fill|shape"):
            array(read(content.replace(b"K\x04\x85", shape)))
    with pytest.raises(BadCheckpoint, match="expected an array"):
        array(read(pickle.dumps(deque([1]))))


# Tensors.


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def tensors(content: bytes, budget: Budget | None = None) -> Any:
    return read_tensors(content, budget or Budget())


def test_tensors_are_what_torch_loads() -> None:
    grid = torch.arange(12.0).reshape(3, 4)
    value = {
        "layers": OrderedDict(
            weight=grid, transposed=grid.t(), part=grid[1:, ::2], scalar=torch.tensor(2.5)
        ),
        "kinds": [torch.ones(2, dtype=kind) for kind in (torch.float16, torch.int64, torch.bool)],
        "parameter": torch.nn.Linear(2, 1).weight.detach(),
        "empty": torch.zeros(0, 3),
        "plain": (1, 2.5, "text", None, True),
        3: "number as key",
    }
    found, expected = tensors(saved(value)), torch.load(io.BytesIO(saved(value)))
    assert found.keys() == expected.keys()
    assert found["plain"] == expected["plain"] and found[3] == expected[3]
    for name, tensor in expected["layers"].items():
        assert np.array_equal(found["layers"][name], tensor.numpy()), name
    assert [part.dtype.name for part in found["kinds"]] == ["float16", "int64", "bool"]
    assert found["empty"].shape == (0, 3)


def test_state_of_a_module_and_of_its_optimizer() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.25, betas=(0.8, 0.9))
    module(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    weights = tensors(saved(module.state_dict()))
    for name, tensor in module.state_dict().items():
        assert np.array_equal(weights[name], tensor.numpy()), name
    moments = tensors(saved(optimizer.state_dict()))
    assert moments["param_groups"][0]["betas"] == (0.8, 0.9)
    assert moments["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert moments["state"][0]["exp_avg"].shape == (4, 3)


def test_other_contents_are_refused() -> None:
    old = io.BytesIO()
    torch.save({"a": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    sparse = torch.eye(3).to_sparse()
    for content, message in (
        (old.getvalue(), "before torch 1.6"),
        (saved(sparse), "dense tensor"),
        (saved(torch.ones(2, dtype=torch.bfloat16)), "unknown type"),
        (saved(torch.ones(2, dtype=torch.complex64)), "unknown type"),
        (saved(torch.ones(1).expand(1_000)), "larger than its storage"),
        (saved(torch.nn.Linear(1, 1)), "dense tensor"),
        (saved({"f": len}), "builtin__.len"),
        (b"", "before torch"),
        (b"PK", "truncated"),
    ):
        with pytest.raises(BadCheckpoint, match=message):
            tensors(content)


def rewritten(content: bytes, change: dict[str, Any]) -> bytes:
    """Copy a zip with some members replaced, removed (None) or added."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        for name, part in {**members, **change}.items():
            if part is not None:
                new.writestr(name, part)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"archive/data/0": bytes(12)}, "length"),
        ({"archive/data/0": None}, "missing"),
        ({"archive/byteorder": b"big"}, "big-endian"),
        ({"archive/code/__torch__.py": b"def f(): pass"}, "as well"),
        ({"archive/constants.pkl": b"N."}, "as well"),
        ({"archive/data.pkl": None}, "not an archive"),
        ({"other/data.pkl": b"N."}, "not an archive"),
        ({"archive/data.pkl": b"cos\nsystem\n."}, "os.system"),
        ({"archive/data.pkl": b"(S'storage'\ntQ."}, "something else"),
    ],
)
def test_inconsistent_archives_are_refused(change: dict[str, Any], message: str) -> None:
    content = saved({"a": torch.ones(4)})
    assert "archive/data/0" in zipfile.ZipFile(io.BytesIO(content)).namelist()
    with pytest.raises(BadCheckpoint, match=message):
        tensors(rewritten(content, change))


@pytest.mark.parametrize(
    ("offset", "size", "stride", "message"),
    [
        (0, 4, 2, "beyond"),
        (1, 4, 1, "beyond"),
        (0, 5, 0, "larger"),
        (0, 2**30, 2**30, "larger"),
        (-1, 2, 1, "malformed"),
        (0, 4, -1, "malformed"),
    ],
)
def test_views_stay_in_their_storage(offset: int, size: int, stride: int, message: str) -> None:
    call = pickle.dumps((offset, (size,), (stride,)), 2)[2:-1]
    inner = call.removesuffix(b"\x87") if call.endswith(b"\x87") else call.rpartition(b"\x87")[0]
    program = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        b"S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI4\ntQ" + inner + b"I00\nNtR."
    )
    content = saved({"a": torch.ones(4)})
    with pytest.raises(BadCheckpoint, match=message):
        tensors(rewritten(content, {"archive/data.pkl": program}))


def test_tensors_are_counted() -> None:
    many = saved([torch.ones(1)] * 9)
    with pytest.raises(BadCheckpoint, match="more tensors"):
        tensors(many, Budget(Limits(tensors=8)))
    with pytest.raises(BadCheckpoint, match="more tensor bytes"):
        tensors(saved(torch.ones(300)), Budget(Limits(tensor_bytes=1_000)))


# Archives.


def zipped(members: dict[str, bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_archives_are_read_whole() -> None:
    members = {"data": b"x" * 1_000, "a/b.pth": b"", "ünï code.txt": b"y"}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert read_archive(zipped(members, compression=method), Budget()) == members


def test_unusual_archives_are_refused() -> None:
    sound = zipped({"data": b"x" * 100, "b": b"y"})
    link = zipfile.ZipInfo("data")
    link.external_attr = 0o120777 << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    bomb = zipped({"data": bytes(2**26)}, compression=zipfile.ZIP_DEFLATED)
    flags = bytearray(sound)
    flags[sound.index(b"PK\x01\x02") + 8] |= 1
    for content, message in (
        (sound[:-1], "truncated"),
        (sound + b"x", "something after"),
        (sound[1:], "overlap"),
        (b"#!/bin/sh\n" + sound, "before its first"),
        (bytes(flags), "encrypted"),
        (zipped({"data": b"x" * 99}, compression=zipfile.ZIP_LZMA), "unusual method"),
        (zipped({"../data": b""}), "named"),
        (zipped({"/data": b""}), "named"),
        (zipped({"a/../data": b""}), "named"),
        (zipped({"a/": b""}), "named"),
        (zipped({"a\\b": b""}), "named"),
        (zipped({"a\nb": b""}), "named"),
        (linked.getvalue(), "regular file"),
        (bomb, "far more than its size"),
        (zipped({str(i): b"" for i in range(9_000)}), "more members"),
        (sound.replace(b"x" * 99, b"x" * 98 + b"z"), "CRC"),
    ):
        with pytest.raises(BadCheckpoint, match=message):
            read_archive(content, Budget())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_and_overlapping_members_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data", b"1")
        archive.writestr("data", b"2")
    with pytest.raises(BadCheckpoint, match="two members"):
        read_archive(file.getvalue(), Budget())
    sound = zipped({"a": b"x" * 50, "b": b"x" * 50})
    second = sound.rindex(b"PK\x01\x02") + 42
    overlapping = sound[:second] + struct.pack("<I", 0) + sound[second + 4 :]
    with pytest.raises(BadCheckpoint, match="overlap"):
        read_archive(overlapping, Budget())


# JSON.


def test_json_of_others() -> None:
    value = {"a": [1, 2.5, "text", None, True, {"b": float("inf")}], "c": -(10**30)}
    assert read_json(json.dumps(value).encode(), Budget()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 100_000 + b"]" * 100_000, "JSON"),
        (b"1" * 5_000, "digits"),
        (b"0." + b"1" * 5_000, "digits"),
        (b"[" + b"[]," * 400_000 + b"0]", "more nodes"),
        (b'"' + b"x" * 2**24 + b'"', "more json bytes"),
        (b"\xff\xfe{\x00}\x00", "JSON"),
    ],
    ids=lambda part: f"{part!r:.20}",
)
def test_malformed_json_of_others_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(BadCheckpoint, match=message):
        read_json(text, Budget())
