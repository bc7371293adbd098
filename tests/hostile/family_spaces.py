"""Spaces that the weights contradict, or that are none."""

from __future__ import annotations

import random
from typing import Any

from hostile import opcodes
from hostile.bases import Bases
from hostile.opcodes import Raw, array, dtype, make, name
from hostile.samples import Sample, family

_INF, _NAN = float("inf"), float("nan")


def _bounds(value: float, shape: tuple[int, ...]) -> Raw:
    count = 1
    for side in shape:
        count *= side
    import struct

    return array(struct.pack("<f", value) * count, shape)


def _box(shape: tuple[int, ...], **changes: Any) -> Raw:
    true = array(b"\1" * max(1, shape[0] if shape else 1), shape, "b1")
    facts = {
        "dtype": dtype(),
        "_shape": shape,
        "low": _bounds(-1.0, shape),
        "high": _bounds(1.0, shape),
    }
    facts |= {"bounded_below": true, "bounded_above": true, "low_repr": "-1.0", "high_repr": "1.0"}
    return make("gymnasium.spaces.box", "Box", **{**facts, "_np_random": None, **changes})


_SPACES: dict[str, Raw] = {
    "narrower": _box((4,)),
    "wider": _box((6,)),
    "flat": _box((1,)),
    "scalar": _box(()),
    "shape of another size": _box((5,), _shape=(7,)),
    "two bounds": _box((5,), low=_bounds(0, (4,))),
    "bounds of nan": _box((5,), low=_bounds(_NAN, (5,))),
    "bounds of inf": _box((5,), low=_bounds(_INF, (5,)), high=_bounds(-_INF, (5,))),
    "upside down": _box((5,), low=_bounds(3, (5,))),
    "another dtype": _box((5,), dtype=dtype("f8")),
    "dtype of objects": _box((5,), dtype=dtype("O")),
    "dtype by name": _box((5,), dtype="float32"),
    "dtype missing": _box((5,), dtype=None),
    "image": _box(
        (5,),
        dtype=dtype("u1"),
        low=array(bytes(5), (5,), "u1"),
        high=array(b"\xff" * 5, (5,), "u1"),
    ),
    "shape of text": _box((5,), _shape="5"),
    "shape of lists": _box((5,), _shape=[5]),
    "negative shape": _box((5,), _shape=(-5,)),
    "methods": _box((5,), sample="x", contains="x", seed=1),
    "bare": Raw(name("gymnasium.spaces.box", "Box"), b")\x81"),
    "another class": Raw(name("gymnasium.spaces.text", "Text"), b")\x81}b"),
    "a class of the same name": make("evil.spaces.box", "Box", _shape=(5,)),
    "gym's": make(
        "gym.spaces.box",
        "Box",
        _shape=(5,),
        dtype=dtype(),
        low=_bounds(-1, (5,)),
        high=_bounds(1, (5,)),
    ),
    "class itself": Raw(name("gymnasium.spaces.box", "Box")),
    "called": Raw(name("gymnasium.spaces.box", "Box"), opcodes.value((-1.0, 1.0, (5,))), b"R"),
    "a list": Raw(opcodes.value([1, 2])),
    "a dict": make("gymnasium.spaces.dict", "Dict", spaces={"a": _box((5,)), "b": _box((3,))}),
    "a tuple": make("gymnasium.spaces.tuple", "Tuple", spaces=(_box((5,)), _box((3,)))),
    "an empty dict": make("gymnasium.spaces.dict", "Dict", spaces={}),
    "odd keys": make("gymnasium.spaces.dict", "Dict", spaces={1: _box((5,)), None: _box((3,))}),
    "counts": make(
        "gymnasium.spaces.multi_discrete", "MultiDiscrete", nvec=array(b"\xff" * 16, (2,), "i8")
    ),
    "huge counts": make(
        "gymnasium.spaces.multi_discrete",
        "MultiDiscrete",
        nvec=array(b"\xff\xff\xff\x7f" * 40, (40,), "i4"),
    ),
    "bits": make("gymnasium.spaces.multi_binary", "MultiBinary", n=5, _shape=(5,)),
    "many bits": make("gymnasium.spaces.multi_binary", "MultiBinary", n=10**9, _shape=(10**9,)),
    "actions": make("gymnasium.spaces.discrete", "Discrete", n=10**9, start=0),
    "actions from afar": make("gymnasium.spaces.discrete", "Discrete", n=3, start=2**62),
}


@family(len(_SPACES) * 4, len(_SPACES) * 30)
def space_claims(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Spaces that the weights contradict, or that are none."""
    kind = list(_SPACES)[index // 2 % len(_SPACES)]
    field = ("observation_space", "action_space")[index % 2]
    base = bases[rng.choice(("box", "discrete", "gsde", "normalized"))]
    content = opcodes.join(_SPACES[kind].code, protocol=4)
    twin = rng.random() < 0.3
    return Sample(
        base.with_field(field, content, twin=twin), note=f"{kind} as {field} of {base.name}"
    )
