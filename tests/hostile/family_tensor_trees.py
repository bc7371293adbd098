"""Archives whose tensors are sound, but too many, misplaced, misnamed, or accompanied."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from hostile import archives, opcodes
from hostile.archives import Tensor, change, tensor
from hostile.bases import Bases
from hostile.samples import Sample, family

_CALL = opcodes.call("os", "system", "touch hostile-marker")


def _views(tree: dict[str, Any], count: int) -> dict[str, Any]:
    """Many tensors that look at one storage."""
    one = tensor(np.zeros(16_384, np.float32), "big")
    return tree | {f"extra.{i}": one for i in range(count)}


def _many(tree: dict[str, Any], count: int) -> dict[str, Any]:
    one = tensor(np.zeros(1, np.float32), "one")
    return tree | {f"extra.{i}": one for i in range(count)}


def _renamed(tree: dict[str, Any], name: Any) -> dict[Any, Any]:
    first = next(iter(tree))
    return {name if key == first else key: part for key, part in tree.items()}


_TREES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "empty": lambda tree: {},
    "list": lambda tree: list(tree.values()),
    "one tensor": lambda tree: next(iter(tree.values())),
    "nothing": lambda tree: None,
    "within": lambda tree: {"state_dict": tree},
    "one less": lambda tree: dict(list(tree.items())[1:]),
    "one more": lambda tree: _many(tree, 1),
    "1,000 more": lambda tree: _many(tree, 1000),
    "5,000 more": lambda tree: _many(tree, 5000),
    "4,000 views of 64 kB": lambda tree: _views(tree, 4000),
    "2,000 views of 64 kB": lambda tree: _views(tree, 2000),
    "views of all": lambda tree: {name: change(part, key="0") for name, part in tree.items()},
    "deep": lambda tree: _deep(tree),
    **{
        f"name {n!r:.20}": lambda tree, n=n: _renamed(tree, n)
        for n in (1, None, True, "", "\x1b[31m", "\ud800", "a" * 10**5, "__class__", "../x", (1,))
    },
    "reversed": lambda tree: dict(reversed(list(tree.items()))),
    "of another dtype": lambda tree: {n: _as(t, np.float64) for n, t in tree.items()},
    "of whole numbers": lambda tree: {n: _as(t, np.int64) for n, t in tree.items()},
    "transposed": lambda tree: {
        n: change(t, size=t.size[::-1], stride=t.stride[::-1]) for n, t in tree.items()
    },
    "flat": lambda tree: {n: change(t, size=(t.length,), stride=(1,)) for n, t in tree.items()},
}


def _deep(tree: Any) -> Any:
    for _ in range(200):
        tree = {"a": tree}
    return tree


def _as(t: Tensor, kind: Any) -> Tensor:
    array = np.frombuffer(t.data, np.float32).reshape(t.size).astype(kind)
    return tensor(array, t.key)


_EXTRAS: dict[str, dict[str, bytes | None]] = {
    "big-endian": {"byteorder": b"big"},
    "byteorder of nothing": {"byteorder": b""},
    "version 99": {"version": b"99\n"},
    "no version": {"version": None},
    "no pickle": {"data.pkl": None},
    "TorchScript": {"constants.pkl": b"\x80\x02).", "code/__torch__.py": b"import os"},
    "code": {"code/run.py": b"open('hostile-marker', 'w')"},
    "a second pickle": {"x/data.pkl": b"N."},
    "a missing storage": {"data/0": None},
    "a storage that is a folder": {"data/0": None, "data/0/0": b"abcd"},
    "more storages": {f"data/more{i}": b"" for i in range(2000)},
    "a package": {".data/extern_modules": b"os", ".data/python_version": b"3.11"},
}


@family(len(_TREES) * 6 + len(_EXTRAS) * 3, len(_TREES) * 40 + len(_EXTRAS) * 20)
def tensor_trees(bases: Bases, rng: random.Random, index: int) -> Sample:
    """Archives whose tensors are sound, but too many, misplaced, misnamed, or accompanied."""
    base, kinds = bases.small(rng), [*_TREES, *_EXTRAS]
    kind = kinds[index % len(kinds)]
    member = "policy.pth" if index // len(kinds) % 2 == 0 else "policy.optimizer.pth"
    tree = archives.tree(base.members[member])
    part = tree if member == "policy.pth" else _moments(tree)
    changed = _TREES[kind](part) if kind in _TREES else part
    whole = changed if member == "policy.pth" else _with_moments(tree, changed)
    return Sample(
        base.files({member: archives.write(whole, _EXTRAS.get(kind))}),
        note=f"{kind} in {member} of {base.name}",
    )


def _moments(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors of an optimizer by made-up names."""
    return {
        f"{index}/{name}": part
        for index, state in tree["state"].items()
        for name, part in state.items()
        if isinstance(part, Tensor)
    }


def _with_moments(tree: dict[str, Any], changed: Any) -> Any:
    if not isinstance(changed, dict):
        return tree | {"state": changed}
    state: dict[Any, Any] = {}
    for name, part in changed.items():
        index, _, key = str(name).partition("/")
        state.setdefault(int(index) if index.isdecimal() else index, {})[key] = part
    return tree | {"state": state}


_GROUPS: dict[str, Any] = {
    **{
        f"lr {v!r:.9}": {"lr": v}
        for v in (float("nan"), float("inf"), -1.0, "x", None, 10**40, [1])
    },
    **{
        f"params {v!r:.20}": {"params": v}
        for v in ([], [0, 0], [10**9], [-1], None, "x", [None], [0])
    },
    **{f"betas {v!r}": {"betas": v} for v in ((2.0, 3.0), (0.9,), "x", None, [0.9, 0.999])},
    "more": {"x": _CALL},
    "eps": {"eps": -1.0},
}


@family(len(_GROUPS) * 4, len(_GROUPS) * 20)
def optimizer_groups(bases: Bases, rng: random.Random, index: int) -> Sample:
    """The settings of the optimizer."""
    base, kind = bases.small(rng), list(_GROUPS)[index % len(_GROUPS)]
    tree = archives.tree(base.members["policy.optimizer.pth"])
    if index // len(_GROUPS) % 2:
        tree["param_groups"][0] |= _GROUPS[kind]
    else:
        tree["param_groups"] = rng.choice(
            ([], [tree["param_groups"][0]] * 2, {}, None, [_GROUPS[kind]])
        )
    return Sample(
        base.files({"policy.optimizer.pth": archives.write(tree)}), note=f"{kind} of {base.name}"
    )
