"""Pickles written by hand that hurt the machine that reads them."""

from __future__ import annotations

import struct
from collections.abc import Callable

from hostile.opcodes import (
    join,
    name,
    number,
    text,
)

_STEPS = 30


def _memo_bomb(kind: bytes, fan: int) -> bytes:
    """Shared references that unfold to ``fan ** 30`` values."""
    code = [b"]\x94" if kind == b"l" else b")\x94"]
    for step in range(_STEPS):
        again = b"h" + bytes([step])
        code.append(b"(" + again * fan + kind + b"\x94")
    return join(*code, protocol=4)


def _dict_bomb() -> bytes:
    code = [b"}\x94"]
    for step in range(_STEPS):
        code.append(b"}" + b"".join(text(k) + b"h" + bytes([step]) + b"s" for k in "abc") + b"\x94")
    return join(*code, protocol=4)


def _dup_bomb() -> bytes:
    """A tuple of itself twice, without a memo."""
    return join(b")", b"2\x86" * 60, protocol=4)


def _own_list() -> bytes:
    return join(b"]\x94h\x00a", protocol=4)


def _own_list_deep() -> bytes:
    return join(b"]\x94(", b"h\x00" * 1000, b"e", protocol=4)


def _own_dict() -> bytes:
    return join(b"}\x94", text("a"), b"h\x00s", protocol=4)


def _own_tuple() -> bytes:
    return join(b"]\x94h\x00\x85\x94a0h\x01", protocol=4)


def _own_state() -> bytes:
    return join(name("gymnasium.spaces.box", "Box"), b")\x81\x94h\x00b", protocol=4)


def _own_args() -> bytes:
    return join(b"]\x94", name("numpy", "dtype"), b"h\x00\x85R\x94h\x00h\x01a0h\x01", protocol=4)


def _two_lists() -> bytes:
    return join(b"]\x94]\x94h\x00h\x01a0h\x01h\x00a", protocol=4)


def _own_persistent() -> bytes:
    return join(b"]\x94Q", b"h\x00h\x00a0", protocol=4)


def _deep(step: bytes, times: int) -> Callable[[], bytes]:
    return lambda: join(b"N", step * times, protocol=4)


def _deep_lists() -> bytes:
    return join(b"(" * 100_000, b"l" * 100_000)


def _marks() -> bytes:
    return join(b"(" * 250_000, b"N")


def _pops() -> bytes:
    return join(b"N", b"N0" * 120_000)


def _huge_put() -> bytes:
    return join(b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff")


def _huge_text_put(index: bytes) -> Callable[[], bytes]:
    return lambda: join(b"Np" + index + b"\n0g" + index + b"\n")


def _long_line(code: bytes, digits: int) -> Callable[[], bytes]:
    return lambda: join(code, b"7" * digits, b"L\n" if code == b"L" else b"\n")


def _long_binary(size: int) -> Callable[[], bytes]:
    return lambda: join(b"\x8b", struct.pack("<i", size), b"\x7f" * size, protocol=2)


def _claimed(code: bytes, form: str, size: int) -> Callable[[], bytes]:
    """A length that is not there."""
    return lambda: join(code, struct.pack(form, size), b"abc", protocol=5)


def _colliding() -> bytes:
    """Keys that all have one hash in CPython."""
    step = 2**61 - 1
    return join(b"}(", *(number(k * step) + b"N" for k in range(1, 20_000)), b"u", protocol=4)


def _colliding_small() -> bytes:
    return join(b"}(", *(number(k << 20) + b"N" for k in range(2000)), b"u", protocol=4)


def _colliding_set() -> bytes:
    step = 2**61 - 1
    return join(b"\x8f(", *(number(k * step) for k in range(1, 20_000)), b"\x90", protocol=4)


def _unhashable() -> bytes:
    return join(b"}]Ns}}Ns", protocol=4)


def _nan_keys() -> bytes:
    return join(b"}", (b"G" + struct.pack(">d", float("nan")) + b"Ns") * 20_000, protocol=4)


def _repeated_key() -> bytes:
    return join(b"}", (text("a") + b"Ns") * 3, protocol=4)


def _many_lists() -> bytes:
    return join(b"(", b"]" * 280_000, b"l", protocol=4)


def _wide_unfolding() -> bytes:
    """One long list, many times: few instructions, very many values."""
    return join(b"(", b"N" * 100_000, b"l\x94(", b"h\x00" * 100_000, b"l", protocol=4)


def _big_shared_text() -> bytes:
    return join(text("x" * 3_000_000, "mid"), b"\x94(", b"h\x00" * 50_000, b"l", protocol=4)


def _many_names() -> bytes:
    return join(*(name(f"m{i}", "n" * 200) + b"0" for i in range(60_000)), b"N", protocol=4)


def _long_name() -> bytes:
    return join(name("os." * 100_000, "system"), protocol=4)


def _odd_name(module: str, attribute: str) -> Callable[[], bytes]:
    return lambda: join(text(module), text(attribute), b"\x93)R", protocol=4)


def _extension(code: bytes) -> Callable[[], bytes]:
    return lambda: join(code, b")R", protocol=2)


def _buffers() -> bytes:
    return join(b"\x97\x98", protocol=5)


def _frames() -> bytes:
    return b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N."


def _many_frames() -> bytes:
    return b"\x80\x04" + (b"\x95" + bytes(8)) * 100_000 + b"N."


def _protocols() -> bytes:
    return b"\x80\x04\x80\x02\x80\x00N."


def _future() -> bytes:
    return b"\x80\xffN."


def _two_pickles() -> bytes:
    return join(b"N", protocol=4) * 2


def _nothing() -> bytes:
    return b""


def _escapes(line: bytes) -> Callable[[], bytes]:
    return lambda: join(line, b"\n")


MACHINE: dict[str, Callable[[], bytes]] = {
    "tuple bomb": lambda: _memo_bomb(b"t", 2),
    "wide tuple bomb": lambda: _memo_bomb(b"t", 100),
    "list bomb": lambda: _memo_bomb(b"l", 2),
    "wide list bomb": lambda: _memo_bomb(b"l", 100),
    "dict bomb": _dict_bomb,
    "dup bomb": _dup_bomb,
    "list in itself": _own_list,
    "list in itself often": _own_list_deep,
    "dict in itself": _own_dict,
    "tuple in itself": _own_tuple,
    "object as its state": _own_state,
    "call as its argument": _own_args,
    "two lists in each other": _two_lists,
    "reference to itself": _own_persistent,
    **{f"depth {d} {s!r}": _deep(s, d) for d in (15, 17, 900, 90_000) for s in (b"\x85", b"\x85Q")},
    "deep reductions": _deep(b"\x85N\x86\x85R"[:1] + b"Q", 60_000),
    "deep lists": _deep_lists,
    "marks": _marks,
    "pops": _pops,
    "huge put": _huge_put,
    **{f"put {i[:9]!r}": _huge_text_put(i) for i in (b"9" * 19, b"-1", b"9" * 9999, b"", b"1e3")},
    **{
        f"digits {c!r} {n}": _long_line(c, n)
        for c in (b"I", b"L", b"F")
        for n in (150, 5000, 10**6)
    },
    **{f"long {n}": _long_binary(n) for n in (64, 65, 5000, 10**6)},
    **{
        f"claim {code!r} {size}": _claimed(code, form, size)
        for code, form, sizes in (
            *((b"X", "<I", (2**32 - 1, 2**31)), (b"B", "<I", (2**32 - 1, 4))),
            *((b"T", "<i", (-1, 2**31 - 1)), (b"\x8b", "<i", (-1, -(2**31), 2**31 - 1))),
            *((code, "<Q", (2**64 - 1, 2**63, 2**40)) for code in (b"\x8d", b"\x8e", b"\x96")),
        )
        for size in sizes
    },
    "colliding keys": _colliding,
    "colliding small keys": _colliding_small,
    "colliding members": _colliding_set,
    "unhashable keys": _unhashable,
    "nan keys": _nan_keys,
    "repeated key": _repeated_key,
    "many lists": _many_lists,
    "wide unfolding": _wide_unfolding,
    "big shared text": _big_shared_text,
    "many names": _many_names,
    "long name": _long_name,
    **{
        f"name {module!r:.20} {attribute!r:.20}": _odd_name(module, attribute)
        for module, attribute in (
            *(("", ""), ("os", ""), ("", "system"), ("os\n", "system"), ("os", "path.\x1b[31m")),
            *(("\ud800", "x"), ("numpy", "dtype\x00"), ("__main__", "__builtins__")),
            *(("builtins", "__import__.__call__"), ("os.path", "os.system"), ("numpy", "ndarray")),
        )
    },
    **{f"extension {c!r}": _extension(c) for c in (b"\x82\x01", b"\x83\x01\x00", b"\x84\1\0\0\0")},
    "buffers": _buffers,
    "frame": _frames,
    "many frames": _many_frames,
    "protocols": _protocols,
    "future protocol": _future,
    "two pickles": _two_pickles,
    "nothing": _nothing,
    **{
        f"escape {line!r}": _escapes(line)
        for line in (
            *(b"S'\\q'", b"S'\\x4'", b"S'\\'", b"S'", b"S''", b"Sabc", b"S'\\400'", b"S'\\xff'"),
            *(b"V\\ud800", b"V\\U00110000", b"V\\u12", b"V\\N{DASH}", b"V\\", b"V\xff\xfe", b"V"),
            *(b"F1_0", b"Fnan", b"F1e99999", b"F" + b"1" * 400, b"Iinf", b"I01", b"I1_0", b"L1l"),
        )
    },
}
