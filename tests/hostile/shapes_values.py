"""Pickles written by hand of arrays, spaces and schedules that hurt who makes them."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hostile.opcodes import (
    Raw,
    array,
    call,
    dtype,
    join,
    make,
    name,
    old_array,
    scalar,
    text,
    value,
)


def _attack_array(content: bytes, shape: object, code: str = "f4") -> Callable[[], bytes]:
    return lambda: join(array(content, shape, code).code, protocol=5)


def _object_array() -> bytes:
    return join(old_array([None, None], (2,), "O").code, protocol=4)


def _dtype_fields() -> bytes:
    state = (3, "<", None, ("a",), {"a": (dtype(), 0)}, 4, 1, 0)
    return join(call("numpy", "dtype", "V4", False, True, state=state).code, protocol=4)


def _dtype_loop() -> bytes:
    inner = name("numpy", "dtype") + text("f4") + b"\x89\x88\x87R\x94"
    return join(inner, b"(K\x03", text("<"), b"h\x00NNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")


def _dtype_named(code: str, order: str = "<") -> Callable[[], bytes]:
    return lambda: join(dtype(code, order).code, protocol=4)


def _latin1_bytes(content: object, codec: str) -> Callable[[], bytes]:
    return lambda: join(old_array(call("_codecs", "encode", content, codec), (1,)).code, protocol=2)


def _box(**attributes: object) -> Callable[[], bytes]:
    return lambda: join(make("gymnasium.spaces.box", "Box", **attributes).code, protocol=4)


def _nested_space(kind: str, depth: int) -> Callable[[], bytes]:
    def write() -> bytes:
        inner = make("gymnasium.spaces.discrete", "Discrete", n=2, start=0)
        for _ in range(depth):
            parts = {"a": inner} if kind == "Dict" else (inner,)
            inner = make(f"gymnasium.spaces.{kind.lower()}", kind, spaces=parts)
        return join(inner.code, protocol=4)

    return write


def _wide_space() -> bytes:
    inner = make("gymnasium.spaces.discrete", "Discrete", n=2, start=0).code + b"\x94"
    parts = b"(" + b"h\x00" * 200_000 + b"t"
    head = name("gymnasium.spaces.tuple", "Tuple") + b")\x81}" + text("spaces")
    return join(inner, b"0", head, parts, b"sb", protocol=4)


def _space_bomb(depth: int, fan: int) -> Callable[[], bytes]:
    """Tuples of tuples of one space: ``fan ** depth`` spaces."""

    def write() -> bytes:
        code = [make("gymnasium.spaces.discrete", "Discrete", n=2, start=0).code + b"\x94"]
        head = name("gymnasium.spaces.tuple", "Tuple") + b")\x81}" + text("spaces")
        for step in range(depth):
            code.append(head + b"(" + (b"h" + bytes([step])) * fan + b"tsb\x94")
        return join(*code, protocol=4)

    return write


def _odd_keys() -> bytes:
    """A Dict space with names that a module of torch cannot have."""
    inner = make("gymnasium.spaces.discrete", "Discrete", n=2, start=0)
    keys = ("a.b", "", "keys", "type", "\x1b[31m", "\ud800", "a" * 5000, "__class__", "forward")
    return join(make("gymnasium.spaces.dict", "Dict", spaces=dict.fromkeys(keys, inner)).code)


def _discrete(n: object, start: object = 0) -> Callable[[], bytes]:
    kind = ("gymnasium.spaces.discrete", "Discrete")
    return lambda: join(make(*kind, n=n, start=start).code, protocol=4)


def _binary(n: object) -> Callable[[], bytes]:
    return lambda: join(make("gymnasium.spaces.multi_binary", "MultiBinary", n=n).code, protocol=4)


def _big_deque() -> bytes:
    return join(name("collections", "deque"), b")R(", b"N" * 200_000, b"e", protocol=4)


def _constant(number: object) -> Callable[[], bytes]:
    kind = ("stable_baselines3.common.utils", "ConstantSchedule")
    return lambda: join(make(*kind, val=number).code, protocol=4)


def _schedule_loop() -> bytes:
    head = name("stable_baselines3.common.utils", "FloatSchedule") + b")\x81\x94}"
    return join(head, text("value_schedule"), b"h\x00sb", protocol=4)


def _schedule_chain() -> bytes:
    inner = value(0.1)
    head = name("stable_baselines3.common.utils", "FloatSchedule") + b")\x81}"
    for _ in range(3000):
        inner = head + text("value_schedule") + inner + b"sb"
    return join(inner, protocol=4)


def _class_by_value(title: str, module: object = "own") -> Callable[[], bytes]:
    """A class as cloudpickle writes one that cannot be imported."""
    parents = (Raw(name("stable_baselines3.common.policies", "ActorCriticPolicy")),)
    args = (Raw(name("builtins", "type")), title, parents, {"__module__": module}, "id", None)
    return lambda: join(call("cloudpickle.cloudpickle", "_make_skeleton_class", *args).code)


_INF, _NAN = float("inf"), float("nan")
VALUES: dict[str, Callable[[], bytes]] = {
    "array short": _attack_array(b"abc", (2,)),
    "array of no bytes": _attack_array(b"", (0,)),
    "array with a negative side": _attack_array(b"", (-1,)),
    "array whose size overflows": _attack_array(b"", (2**40, 2**40)),
    "array of nothing very often": _attack_array(b"", (2**30, 2**30, 0)),
    "array of many sides": _attack_array(b"abcd", (1,) * 70),
    "array of a true side": _attack_array(b"abcd", (True,)),
    "array of a real side": _attack_array(b"abcd", (1.0,)),
    "array of no shape": _attack_array(b"abcd", None),
    "array of texts": _attack_array(b"abcd", (1,), "U1"),
    "array of dates": _attack_array(b"abcdefgh", (1,), "M8"),
    "array of objects": _object_array,
    "array of complex": _attack_array(b"abcdefgh", (1,), "c8"),
    "dtype with fields": _dtype_fields,
    "dtype in itself": _dtype_loop,
    **{
        f"dtype {code!r:.20}": _dtype_named(code)
        for code in (
            "O",
            "O8",
            "V99999999",
            "S99999999",
            "f4,f4",
            "(9,9)f4",
            "",
            "\x00",
            "f16",
            "<<f4",
        )
    },
    "big-endian": _dtype_named("f4", ">"),
    "bytes in rot13": _latin1_bytes("abcdefgh", "rot13"),
    "bytes in zip": _latin1_bytes("abcdefgh", "zip"),
    "bytes of no latin-1": _latin1_bytes("\u20ac" * 8, "latin1"),
    "bytes of a number": _latin1_bytes(10**9, "latin1"),
    "bare box": _box(),
    "box of odd attributes": _box(__class__="x", contains="x", sample=1),
    "box of a huge shape": _box(_shape=(10**6, 10**6), dtype=dtype(), low=0, high=1),
    "box of no bounds": _box(_shape=(5,), dtype=dtype(), low=None, high=None),
    "box of nan": _box(
        _shape=(1,),
        dtype=dtype(),
        low=array(struct.pack("<f", _NAN), (1,)),
        high=array(struct.pack("<f", _INF), (1,)),
    ),
    "box upside down": _box(
        _shape=(1,),
        dtype=dtype(),
        low=array(struct.pack("<f", 2.0), (1,)),
        high=array(struct.pack("<f", 1.0), (1,)),
    ),
    **{
        f"nested {kind} {depth}": _nested_space(kind, depth)
        for kind in ("Dict", "Tuple")
        for depth in (1, 15, 40, 3000)
    },
    "wide space": _wide_space,
    **{f"space bomb {d} {fan}": _space_bomb(d, fan) for d, fan in ((14, 3), (7, 5), (3, 1000))},
    "odd keys": _odd_keys,
    **{
        f"discrete {n!r:.20} {start!r}": _discrete(n, start)
        for n, start in (
            *((0, 0), (-1, 0), (2**62, 0), (2**70, 0), (10**9, 0), (True, 0), (2.0, 0), ("2", 0)),
            *((3, -(2**63)), (3, 2**62), (None, 0), (_NAN, 0), (3, None)),
        )
    },
    **{
        f"binary {n!r:.20}": _binary(n)
        for n in (0, -1, 10**10, (10**5, 10**5), (), "n", None, 2**70)
    },
    "big deque": _big_deque,
    **{
        f"constant {n!r:.9}": _constant(n)
        for n in (_NAN, _INF, -1.0, 1e308, 10**40, "x", None, (1,))
    },
    **{
        f"class by value {title!r:.20} {module!r:.20}": _class_by_value(title, module)
        for title, module in (
            *(
                ("Mine", "own"),
                ("", "own"),
                ("\x1b[31m", "own"),
                ("Mine", "\n\n"),
                ("a" * 10**5, "own"),
            ),
            *(
                ("Mine", None),
                ("Mine", ["x"]),
                ("\ud800", "own"),
                ("os:system", "os"),
                ("$class", "$"),
            ),
        )
    },
    "schedule of itself": _schedule_loop,
    "schedule of schedules": _schedule_chain,
    "constant of numpy": _constant(scalar(struct.pack("<d", 0.1))),
    "constant of many numbers": _constant(array(bytes(80), (20,))),
}
