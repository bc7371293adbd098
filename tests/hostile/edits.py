"""Ways to change bytes, and the instructions of pickles, at random."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from hostile import opcodes

Code = list[bytes]


def flip(content: bytes, rng: random.Random) -> bytes:
    """Change one to four bytes, by bits or altogether."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if changed:
            at = rng.randrange(len(changed))
            changed[at] ^= rng.choice((1 << rng.randrange(8), rng.randrange(1, 256)))
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Shorten, lengthen, or rearrange."""
    a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return rng.choice(
        (
            lambda: content[:a],
            lambda: content[b:],
            lambda: content[:a] + content[b:],
            lambda: content[:b] + content[a:],
            lambda: content + rng.randbytes(rng.randrange(1, 400)),
            lambda: rng.randbytes(rng.randrange(1, 400)) + content,
            lambda: content[:a] + rng.randbytes(rng.randrange(1, 99)) + content[a:],
            lambda: content[:a] + bytes(b - a) + content[b:],
            lambda: content * 2,
        )
    )()


_TEXTS = (
    "",
    "\x00",
    "\ud800",
    "os",
    "system",
    "__class__",
    "dtype",
    "f4",
    ">f8",
    "O",
    "C",
    "é" * 99,
)
_NUMBERS = (0, 1, -1, 255, 2**31 - 1, -(2**31), 2**62, 2**64, 2**500, 10**9)
_LINES = (b"", b"-", b"1e5", b"0x10", b"1_0", b" 1", b"1" * 5000, b"99999999999999999999", b"-1")


def argument(code: bytes, rng: random.Random) -> bytes:
    """Return an instruction with a made-up argument."""
    kind = opcodes.CODES[code].arg
    if kind is None:
        return code
    if kind.n >= 0:
        return code + rng.choice(
            (bytes(kind.n), b"\xff" * kind.n, rng.randbytes(kind.n), b"\x01" * kind.n)
        )
    if kind.n == -1 or kind.name.endswith("_pair"):
        lines = 2 if kind.name.endswith("_pair") else 1
        choices = (*_LINES, b"'a'", b"'\\q\\x41'", b'"', b"12", b"1.5", b"nan", b"os", b"\\ud800")
        return code + b"".join(rng.choice(choices) + b"\n" for _ in range(lines))
    width = {-2: 1, -3: 4, -4: 4, -5: 8}[kind.n]
    content = rng.choice((b"", b"os", b"\xff\xfe", b"a" * 200, rng.randbytes(9)))
    lies = (len(content), len(content), len(content), 2 ** (8 * width - 1), 2 ** (8 * width) - 1)
    return code + rng.choice(lies).to_bytes(width, "little") + content


def instruction(rng: random.Random) -> bytes:
    """Return any instruction, or one that pushes something of interest."""
    draw = rng.randrange(6)
    if draw == 0:
        return opcodes.text(rng.choice(_TEXTS), rng.choice(("short", "mid", "long", "line")))
    if draw == 1:
        return opcodes.number(rng.choice(_NUMBERS), rng.choice(("short", "line")))
    if draw == 2:
        return rng.choice(
            (b"N", b")", b"]", b"}", b"(", b"2", b"0", b"1", b"t", b"l", b"d", b"\x94")
        )
    return argument(rng.choice(list(opcodes.CODES)), rng)


def _delete(code: Code, at: int, rng: random.Random) -> Code:
    return code[:at] + code[at + rng.choice((1, 1, 2, 5)) :]


def _insert(code: Code, at: int, rng: random.Random) -> Code:
    return code[:at] + [instruction(rng) for _ in range(rng.choice((1, 1, 3)))] + code[at:]


def _replace(code: Code, at: int, rng: random.Random) -> Code:
    return [*code[:at], instruction(rng), *code[at + 1 :]]


def _retype(code: Code, at: int, rng: random.Random) -> Code:
    """Another instruction with the bytes of the old one's argument."""
    return [*code[:at], rng.choice(list(opcodes.CODES)) + code[at][1:], *code[at + 1 :]]


def _swap(code: Code, at: int, rng: random.Random) -> Code:
    other = rng.choice((min(at + 1, len(code) - 1), rng.randrange(len(code))))
    changed = list(code)
    changed[at], changed[other] = changed[other], changed[at]
    return changed


def _repeat(code: Code, at: int, rng: random.Random) -> Code:
    end = min(len(code), at + rng.choice((1, 1, 4, 20)))
    return code[:end] + code[at:end] * rng.choice((1, 2, 50, 3000)) + code[end:]


def _move(code: Code, at: int, rng: random.Random) -> Code:
    part = code[at : at + rng.randrange(1, 12)]
    rest = code[:at] + code[at + len(part) :]
    target = rng.randrange(len(rest) + 1)
    return rest[:target] + part + rest[target:]


def _byte(code: Code, at: int, rng: random.Random) -> Code:
    return [*code[:at], flip(code[at], rng), *code[at + 1 :]]


def _wrap(code: Code, at: int, rng: random.Random) -> Code:
    """The whole within something, many times."""
    again = rng.choice((b"\x85", b"]2a", b"}2Ns", b"(l", b"(t", b"\x85Q", b"\x85\x81", b"Nb"))
    return code[:-1] + [again] * rng.choice((1, 2, 17, 20000)) + code[-1:]


def _long(code: Code, at: int, rng: random.Random) -> Code:
    """A number of very many digits, decimal or not."""
    digits = rng.choice((100, 4000, 5000, 10**6))
    line = rng.choice((b"I", b"L")) + b"9" * digits + b"\n"
    binary = b"\x8b" + struct.pack("<i", digits) + b"\x7f" * digits
    return [*code[:at], rng.choice((line, binary)), *code[at:]]


_EDITS: tuple[Callable[[Code, int, random.Random], Code], ...] = (
    *(_delete, _delete, _insert, _insert, _replace, _replace, _retype, _swap, _repeat, _move),
    *(_byte, _byte, _wrap, _long),
)


def edit(pickle: bytes, rng: random.Random) -> bytes:
    """Change one to three instructions of a pickle."""
    code = list(opcodes.split(pickle))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        code = rng.choice(_EDITS)(code, rng.randrange(max(1, len(code))), rng) or [b"."]
    return b"".join(code)


# By what they take from the stack; a stream that never underflows gets further than a random one.
_MAKERS = (b"N", b"\x88", b"\x89", b")", b"]", b"}", b"\x8f", b"K\x05", b"J\xff\xff\xff\xff")
_ONE = (b"\x85", b"2", b"\x94", b"Q", b"q\x01", b"0")
_TWO = (b"\x86", b"R", b"\x81", b"b", b"a", b"\x93")
_THREE = (b"\x87", b"s", b"\x92")


def stream(rng: random.Random) -> bytes:
    """Return a random pickle; every second one keeps its stack filled."""
    length = rng.choice((3, 10, 40, 200, 2000))
    if rng.random() < 0.5:
        return b"\x80\x04" + b"".join(instruction(rng) for _ in range(length)) + b"."
    code, depth, marks = [b"\x80\x04"], 0, []
    for _ in range(length):
        choices = [_MAKERS, (opcodes.text(rng.choice(_TEXTS[3:-1])),)]
        choices += [kind for need, kind in ((1, _ONE), (2, _TWO), (3, _THREE)) if depth >= need]
        part = rng.choice(rng.choice(choices))
        code.append(part)
        depth += 1 if part[:1] in b"N\x88\x89)]}\x8fKJ2\x8c" else -_taken(part)
        if rng.random() < 0.05:
            marks.append(depth)
            code.append(b"(")
            depth = 0
        elif marks and rng.random() < 0.1:
            code.append(rng.choice((b"t", b"l", b"\x91")))
            depth = marks.pop() + 1
    return b"".join(code) + b"."


def _taken(part: bytes) -> int:
    """How much lower the stack is after an instruction."""
    return {b"0": 1, b"s": 2, b"\x87": 2, b"\x92": 2}.get(part[:1], int(part in _TWO))
