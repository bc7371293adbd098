"""Tensors that are not what they say."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

from hostile import archives, opcodes
from hostile.archives import Tensor, change
from hostile.bases import Bases
from hostile.opcodes import Raw
from hostile.samples import Sample, family

_CALL = opcodes.call("os", "system", "touch hostile-marker")
_NAN, _INF = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))


def _filled(value: bytes) -> Callable[[Tensor], Tensor]:
    return lambda t: change(t, data=value * (len(t.data) // len(value)))


def _one(value: bytes) -> Callable[[Tensor], Tensor]:
    return lambda t: change(t, data=t.data[: -len(value)] + value)


def _with(**facts: Any) -> Callable[[Tensor], Tensor]:
    return lambda t: change(t, **facts)


#: How one tensor is changed. Each is to be refused, for the weights are needed whole.
_TENSORS: dict[str, Callable[[Tensor], Any]] = {
    **{
        f"offset {n!r:.12}": _with(offset=n)
        for n in (-1, 1, 2**31 - 1, 2**31, 10**12, 2**63, 2**64 + 1, 0.0, None, "0", True, [0])
    },
    **{
        f"size {n!r:.20}": _with(size=n)
        for n in (
            *(
                (2**31 - 1,),
                (2**31,),
                (10**6, 10**6),
                (2**40, 2**40),
                (-1,),
                (0,),
                (),
                None,
                "8",
                8,
            ),
            *(
                (1,) * 70,
                (8.0, 5),
                (True, 5),
                [8, 5],
                ((8, 5),),
                (2**64, 2**64),
                (0, 2**40),
                (-8, -5),
            ),
        )
    },
    **{
        f"stride {n!r:.20}": _with(stride=n)
        for n in ((-1,), (-5, -1), (2**31 - 1, 1), (2**62, 1), (), None, "1", (1.0, 1), (1,) * 70)
    },
    "expanded": lambda t: change(t, size=(10**4, 10**4), stride=(0, 0)),
    "expanded far": lambda t: change(t, size=(2**31 - 1,) * 3, stride=(0, 0, 0)),
    "expanded a little": lambda t: change(t, size=(*t.size, 2), stride=(*t.stride, 0)),
    "longer than its storage": lambda t: change(t, data=t.data[:-4]),
    "shorter than its storage says": lambda t: change(t, data=t.data + b"abcd"),
    "storage of odd bytes": lambda t: change(t, data=t.data + b"a"),
    "empty storage": lambda t: change(t, data=b""),
    **{f"length {n!r:.12}": _with(length=n) for n in (0, -1, 2**40, 2**64, None, "1", 1.0)},
    **{
        f"storage {kind}": _with(storage=kind)
        for kind in (
            *(
                "DoubleStorage",
                "LongStorage",
                "IntStorage",
                "HalfStorage",
                "ByteStorage",
                "BoolStorage",
            ),
            *(
                "BFloat16Storage",
                "ComplexFloatStorage",
                "QInt8Storage",
                "QUInt8Storage",
                "QInt32Storage",
            ),
            *(
                "UntypedStorage",
                "TypedStorage",
                "NoStorage",
                "load",
                "cuda.FloatStorage",
                "float32",
            ),
        )
    },
    **{f"key {key!r}": _with(key=key) for key in ("../0", "/etc/passwd", "", "\x00")},
    **{f"key of kind {key!r}": _with(key=key) for key in (None, 0, ["0"], 1.5, b"0")},
    **{
        f"made by {function}": _with(module=module, function=function)
        for module, function in (
            *(("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v3")),
            *(("torch._utils", "_rebuild_sparse_tensor"), ("torch._utils", "_rebuild_qtensor")),
            *(
                ("torch._utils", "_rebuild_meta_tensor_no_storage"),
                ("torch._utils", "_rebuild_nested_tensor"),
            ),
            *(
                ("torch._utils", "_rebuild_device_tensor_from_numpy"),
                ("torch._utils", "_rebuild_xla_tensor"),
            ),
            *(
                ("torch._utils", "_rebuild_wrapper_subclass"),
                ("torch._tensor", "_rebuild_from_type_v2"),
            ),
            *(
                ("torch.jit._pickle", "restore_type_tag"),
                ("evil", "_rebuild_tensor_v2"),
                ("torch", "load"),
            ),
            *(
                ("torch._utils", "_rebuild_parameter_with_state"),
                ("torch.storage", "_load_from_bytes"),
            ),
        )
    },
    "nan": _filled(_NAN),
    "inf": _filled(_INF),
    "one nan": _one(_NAN),
    "one inf": _one(_INF),
    "one signalling nan": _one(b"\1\0\xa0\x7f"),
    "no more arguments": _with(rest=()),
    "many more arguments": _with(rest=(False, None) * 20),
    "a number": lambda t: 1.0,
    "a list of numbers": lambda t: [1.0] * 40,
    "nothing": lambda t: None,
    "a call": lambda t: _CALL,
    "an array": lambda t: opcodes.array(t.data, t.size),
    "a storage": lambda t: Raw(
        opcodes.value(("storage", "FloatStorage", t.key, "cpu", t.length)), b"Q"
    ),
    "a parameter of a call": lambda t: opcodes.call(
        "torch._utils", "_rebuild_parameter", _CALL, True, None
    ),
}
#: These say nothing about the values: a reader may overlook them.
_HARMLESS: dict[str, Callable[[Tensor], Any]] = {
    **{
        f"on {place!r}": _with(location=place)
        for place in ("cuda:0", "../x", None, _CALL, "meta", 7)
    },
    "key '0/1'": _with(key="0/1"),
    "needs a gradient": _with(rest=(True, Raw(b"}"))),
    "hooks that call": _with(rest=(False, _CALL)),
    "metadata that calls": _with(rest=(False, Raw(b"}"), _CALL)),
    "state": _with(state={"a": 1}),
    "state that calls": _with(state=_CALL),
    "a parameter": lambda t: opcodes.call(
        "torch._utils", "_rebuild_parameter", t.code(), True, Raw(b"}")
    ),
    "zeros": _filled(b"\0"),
    "huge": _filled(struct.pack("<f", 3e38)),
    "denormal": _filled(struct.pack("<f", 1e-40)),
}


_CHANGES = {**_TENSORS, **_HARMLESS}


@family(len(_CHANGES) * 2, len(_CHANGES) * 20)
def tensors(bases: Bases, rng: random.Random, index: int) -> Sample:
    """One weight of a policy, changed."""
    base = bases.small(rng)
    kind = list(_CHANGES)[index % len(_CHANGES)]
    tree = archives.tree(base.members["policy.pth"])
    # One with two sides, and no other name.
    name = rng.choice([n for n, t in tree.items() if len(t.size) == 2 and min(t.size) > 1])
    tree[name] = _CHANGES[kind](tree[name])
    return Sample(
        base.files({"policy.pth": archives.write(tree)}),
        expect="refused" if kind in _TENSORS else "either",
        note=f"{kind}: {name} of {base.name}",
    )
