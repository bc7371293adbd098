"""JSON and YAML that break a parser, or ask it for too much."""

from __future__ import annotations

import codecs
import json
import random
from collections.abc import Callable

from hostile import edits
from hostile.bases import Bases
from hostile.payloads import MARKER
from hostile.samples import Sample, family

_OPEN, _CLOSE = b'{\n    "verbose": 0,\n    "extra": ', b","


def _extra(value: bytes) -> Callable[[bytes], bytes]:
    """The data with one more field."""
    return lambda data: _OPEN + value + _CLOSE + data.lstrip()[1:]


def _plus(key: bytes, value: bytes) -> Callable[[bytes], bytes]:
    return lambda data: b"{" + key + b": " + value + b"," + data.lstrip()[1:]


def _keys(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":1' % i for i in range(count)) + b"}"


def _unreadable(count: int) -> bytes:
    """Many fields that claim to be pickled."""
    return b'{"a": 1}, ' + b",".join(b'"%x": {":serialized:": ""}' % i for i in range(count))


def _floats(count: int) -> bytes:
    return b"[" + b"0.5," * count + b"1]"


#: How the text of ``data`` is changed, and whether no reader may accept it.
_TEXTS: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    **{f"{n} open lists": (_extra(b"[" * n), True) for n in (10, 900, 100_000, 5_000_000)},
    **{
        f"{n} lists": (_extra(b"[" * n + b"]" * n), n > 20_000)
        for n in (40, 900, 30_000, 2_000_000)
    },
    **{f"{n} objects": (_extra(b'{"a":' * n + b"1" + b"}" * n), n > 20_000) for n in (40, 30_000)},
    **{f"{n} digits": (_extra(b"7" * n), n > 5000) for n in (100, 4000, 10_000, 10**6, 10**7)},
    **{f"{n} digits after the point": (_extra(b"0." + b"7" * n), False) for n in (100, 10**6)},
    "exponent": (_extra(b"1e999999999999"), False),
    "exponent of many digits": (_extra(b"1e" + b"9" * 10**6), False),
    "real digits with an exponent": (_extra(b"7" * 10**6 + b".5e5"), False),
    **{
        f"{n} numbers": (_extra(b"[" + b"1," * n + b"1]"), False) for n in (10**5, 10**6, 8_000_000)
    },
    **{f"{n} reals": (_extra(_floats(n)), False) for n in (10**5, 10**6, 4_000_000)},
    **{
        f"{n} texts": (_extra(b"[" + b'"a" ,' * n + b"1]"), False)
        for n in (10**5, 10**6, 3_000_000)
    },
    **{f"{n} small lists": (_extra(b"[" + b"[] ," * n + b"1]"), False) for n in (10**5, 10**6)},
    **{f"{n} small objects": (_extra(b"[" + b"{} ," * n + b"1]"), False) for n in (10**5, 10**6)},
    **{f"{n} nulls": (_extra(b"[" + b"null," * n + b"1]"), False) for n in (10**6, 3_000_000)},
    **{f"{n} keys": (_extra(_keys(n)), False) for n in (10**5, 10**6)},
    **{f"{n} spaces": (_extra(b" " * n + b"1"), False) for n in (10**6, 15_000_000)},
    **{
        f"text of {n}": (_extra(b'"' + b"a" * n + b'"'), False)
        for n in (10**6, 15_000_000, 17_000_000)
    },
    "text of escapes": (_extra(b'"' + b"\\u0041" * 2_000_000 + b'"'), False),
    "text without end": (_extra(b'"' + b"a" * 1_000_000), True),
    "NaN": (_extra(b"NaN"), False),
    "Infinity": (_extra(b"-Infinity"), False),
    "key twice": (_plus(b'"verbose"', b"1"), True),
    "key twice, escaped": (_plus(b'"\\u0076erbose"', b"1"), True),
    "space twice": (_plus(b'"observation_space"', b"{}"), True),
    "key twice deeper": (_extra(b'{"a": 1, "a": 2}'), True),
    "lone surrogate": (_extra(b'"\\ud800"'), False),
    "lone surrogate as a key": (_plus(b'"\\udfff"', b"1"), False),
    "raw surrogate": (_extra(b'"\xed\xa0\x80"'), True),
    "not UTF-8": (_extra(b'"\xff"'), True),
    "overlong UTF-8": (_extra(b'"\xc0\xaf"'), True),
    "control character": (_extra(b'"\x01"'), True),
    "escape sequence": (_plus(b'"\\u001b[31mred\\u0007"', b'"\\u001b]0;title\\u0007"'), False),
    "right to left": (_plus('"\u202e"'.encode(), b"1"), False),
    "NUL": (_extra(b'"\x00"'), True),
    "empty key": (_plus(b'""', b"1"), False),
    "byte order mark": (lambda data: codecs.BOM_UTF8 + data, True),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), True),
    "UTF-32": (lambda data: data.decode().encode("utf-32-le"), True),
    "comment": (lambda data: b"// data\n" + data, True),
    "trailing comma": (lambda data: data.rstrip()[:-1] + b",}", True),
    "single quotes": (lambda data: data.replace(b'"', b"'"), True),
    "twice": (lambda data: data + data, True),
    "half": (lambda data: data[: len(data) // 2], True),
    "NUL behind": (lambda data: data + b"\x00" * 10, True),
    **{
        f"only {text!r}": (lambda data, text=text: text, True)
        for text in (b"", b"null", b"[]", b"1", b'"a"', b"{}")
    },
    **{f"{n} unreadable pickles": (_extra(_unreadable(n)), False) for n in (1000, 90_000)},
    **{f"key of {n}": (_plus(b'"' + b"k" * n + b'"', b"1"), False) for n in (10**6, 15_000_000)},
    "code": (lambda data: b"__import__('os').system('touch hostile-marker')", True),
}


@family(len(_TEXTS), len(_TEXTS) * 7)
def json_texts(bases: Bases, rng: random.Random, index: int) -> Sample:
    base, name = bases.small(rng), list(_TEXTS)[index % len(_TEXTS)]
    change, wrong = _TEXTS[name]
    data = change(base.members["data"])
    return Sample(base.with_data(data), expect="refused" if wrong else "either", note=name)


@family(100, 1000)
def json_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    base = bases.small(rng)
    text = rng.choice((edits.flip, edits.cut))(base.members["data"], rng)
    return Sample(base.with_data(text), note=base.name)


_MARKS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\"),
    b"-",
    b"1e5",
    b"0",
    b"NaN",
    b"true",
    b"",
)


@family(100, 1000)
def json_marks(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Punctuation and words exchanged, where a parser decides."""
    base = bases.small(rng)
    text = bytearray(base.members["data"])
    places = [i for i, byte in enumerate(text) if byte in b'{}[]",:\\-.0123456789tfn']
    for at in rng.sample(places, rng.choice((1, 2, 3))):
        text[at : at + 1] = rng.choice(_MARKS)
    return Sample(base.with_data(bytes(text)), note=base.name)


# ---- YAML beside the zip ----


def _laughs(kind: str) -> str:
    lines = ["a0: &a0 [x, x]"] if kind == "list" else ["a0: &a0 {k: x}"]
    for step in range(1, 40):
        refs = ", ".join([f"*a{step - 1}"] * 9)
        keyed = ", ".join(f"k{i}: *a{step - 1}" for i in range(9))
        lines.append(f"a{step}: &a{step} " + (f"[{refs}]" if kind == "list" else f"{{{keyed}}}"))
    return "\n".join(lines)


_SHELL = f"touch {MARKER}"
_SOUND = "!!python/object/apply:collections.OrderedDict\n- - - normalize\n    - true\n"
_YAMLS = {
    "sound": _SOUND,
    "apply os.system": f"!!python/object/apply:os.system ['{_SHELL}']",
    "apply within": _SOUND + f"  - - n_envs\n    - !!python/object/apply:os.system ['{_SHELL}']",
    "apply Popen": f"!!python/object/apply:subprocess.Popen\n- ['touch', '{MARKER}']",
    "apply eval": f"!!python/object/apply:eval [\"open('{MARKER}', 'w')\"]",
    "object new": f"!!python/object/new:os.system ['{_SHELL}']",
    "object new state": "!!python/object/new:type\n"
    "args: [z, !!python/tuple [], {extend: !!python/name:exec }]\n"
    "listitems: \"open('hostile-marker', 'w')\"",
    "name": "env: !!python/name:os.system",
    "module": "env: !!python/module:os",
    "object": "!!python/object:collections.Counter {a: 1}",
    "state": "!!python/object/apply:collections.OrderedDict\nargs: []\nstate: {__class__: x}",
    "bytes": "a: !!python/bytes AAAA",
    "tuple": "a: !!python/tuple [1, 2]",
    "deep tuple": "a: " + "!!python/tuple [" * 2000 + "]" * 2000,
    "long": "a: !!python/long 1" + "0" * 100_000,
    "unicode": "a: !!python/unicode x",
    "complex": "a: !!python/complex 1+2j",
    "binary": "a: !!binary " + "A" * 1000,
    "set": "a: !!set {x, y}",
    "omap": "a: !!omap [x: 1]",
    "pairs": "a: !!pairs [x: 1, x: 2]",
    "timestamp": "a: 2001-12-14t21:59:43.10-05:00",
    "bad timestamp": "a: 2001-99-99",
    "bad time": "a: 2001-01-01 99:99:99",
    "sexagesimal": "a: " + ":".join(["59"] * 2000),
    "octal": "a: 0o" + "7" * 5000,
    "digits": "a: " + "9" * 1_000_000,
    "real digits": "a: 1." + "9" * 1_000_000,
    "inf and nan": "a: [.inf, -.inf, .nan]",
    "list laughs": _laughs("list"),
    "dict laughs": _laughs("dict"),
    "merge laughs": "\n".join(
        ["a0: &a0 {x: 1}"]
        + [f"a{i}: &a{i}\n  <<: [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 12)]
    ),
    "own alias": "&a [*a]",
    "own key": "&a {*a : 1}",
    "own merge": "a: &a\n  <<: *a",
    "OrderedDict of itself": "&a !!python/object/apply:collections.OrderedDict\n- *a",
    "missing alias": "a: *b",
    "many aliases": "a: &a x\nb: [" + ", ".join(["*a"] * 200_000) + "]",
    "deep flow": "[" * 20_000 + "]" * 20_000,
    "deep block": "\n".join(" " * i + "a:" for i in range(2000)),
    "deep sequence": "- " * 5000 + "x",
    "deep keys": "? " * 5000 + "x",
    "unhashable key": "{[a]: 1}",
    "unhashable key in an object": "? {a: 1}\n: 2",
    "key twice": "a: 1\na: 2",
    "normalize code": "normalize: \"__import__('os').system('touch hostile-marker')\"",
    "normalize dict": "normalize: \"{'norm_obs': True, 'norm_reward': False}\"",
    "policy_kwargs code": f"policy_kwargs: \"dict(a=__import__('os').system('{_SHELL}'))\"",
    "env name up": "env: ../../../etc",
    "env name of a list": "env: [a, b]",
    **{f"env name of {n}": "env: " + "x" * n for n in (200, 3000, 100_000)},
    **{f"env id of {n}": "env: " + "x" * n + "-v0" for n in (200, 3000)},
    "env id of a long number": "env: CartPole-v" + "9" * 5000,
    "env of a module": "env: this:CartPole-v1",
    "frame stack": "frame_stack: {" + ", ".join(f"k{i}: {i}" for i in range(900)) + "}",
    "env_kwargs": 'env_kwargs: "\\e[31m\\n\\n"',
    "env name of controls": 'env: "\\e[31m\\0"',
    "surrogate": 'env: "\\ud800"',
    "large": "a: b\n" * 60_000,
    "one long line": "a: " + "b" * 5_000_000,
    "one long list": "a: [" + "b, " * 100_000 + "]",
    "comments": "#\n" * 1_000_000,
    "directives": "%YAML 9.9\n--- a",
    "tags": f"%TAG ! tag:yaml.org,2002:python/\n--- !object/apply:os.system ['{_SHELL}']",
    "two documents": "a: 1\n---\nb: 2",
    "tab": "a:\n\tb: 1",
    "colon": ": : :",
    "nothing": "",
    "null": "~",
    "text": "just words",
    "number": "12",
    "list": "- a",
    "UTF-16": _SOUND.encode("utf-16"),
    "latin-1": "a: \xe9".encode("latin-1"),
    "control": b"a: \x00\x01",
    "BOM": codecs.BOM_UTF8 + _SOUND.encode(),
    "pickle": b"\x80\x04cos\nsystem\n.",
}
_YAML_PLACES = ("args.yml", "config.yml", "Sampled-v0/args.yml", "Sampled-v0/config.yml")


@family(len(_YAMLS) * 4, len(_YAMLS) * 12)
def yaml_files(bases: Bases, rng: random.Random, index: int) -> Sample:
    """The settings that rl-zoo writes beside an agent."""
    name = list(_YAMLS)[index % len(_YAMLS)]
    text, place = _YAMLS[name], _YAML_PLACES[index // len(_YAMLS) % len(_YAML_PLACES)]
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    base = bases[rng.choice(("box", "discrete", "normalized"))]
    return Sample({**base.files(), place: content}, note=f"{name} in {place}")


@family(80, 1000)
def yaml_flips(bases: Bases, rng: random.Random, index: int) -> Sample:
    fields = {"n_envs": 8, "policy": "MlpPolicy", "normalize": False, "ent_coef": 0.0}
    pairs = "".join(f"- - {k}\n    - {json.dumps(v)}\n  " for k, v in fields.items())
    text = f"!!python/object/apply:collections.OrderedDict\n- {pairs}".encode()
    content = rng.choice((edits.flip, edits.flip, edits.cut))(text, rng)
    place = _YAML_PLACES[index % 2]
    return Sample({**bases["box"].files(), place: content}, note=place)
