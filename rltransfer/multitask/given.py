"""What a user gives, refused where it is of another kind than anything that could be meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.options import EngineOptions
from rltransfer.errors import BadArgument


def check_kinds(given: Mapping[str, Any]) -> None:
    """Refuse arguments of the wrong kind; None is what was not given.

    Args:
        given: Arguments by name; those of other names may be anything.

    Raises:
        BadArgument: One is of another kind than it has to be.
    """
    for name, value in given.items():
        if value is None or name not in _KINDS:
            continue
        fits, expected = _KINDS[name]
        if not fits(value):
            raise BadArgument(f"{name} is {value!r:.80}: give {expected}")


def _of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _are_sizes(value: Any) -> bool:
    listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    return listed and all(_is_whole(size) for size in value)


def _are_missions(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


_TEXT = (_of(str), "its name")
_SWITCH = (_of(bool), "True or False")
_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "algorithm": _TEXT,
    "trunk": _TEXT,
    "conditioning": _TEXT,
    "encoder_kind": (lambda kind: kind in ("auto", "grid"), "'auto' or 'grid'"),
    "share_critic": _SWITCH,
    "normalize_obs": _SWITCH,
    "normalize_observations": _SWITCH,
    "ortho_init": _SWITCH,
    "sizes": (_are_sizes, "a list of whole numbers, such as [64]"),
    "trunk_kwargs": (_of(Mapping), "options by name, such as {'experts': 4}"),
    "policy_kwargs": (_of(Mapping), "arguments by name, such as {'width': 32}"),
    "weights": (_of(Mapping, str), "a number for each task by its id, None, or 'progress'"),
    "missions": (_are_missions, "texts by task, such as {'CartPole-v1': 'balance the pole'}"),
    "embed": (callable, "a function from a list of texts to an array with a row for each"),
    "options": (
        _of(MultiTaskOptions),
        "MultiTaskOptions, such as MultiTaskOptions(gradient='pcgrad')",
    ),
    "engine": (_of(EngineOptions), "EngineOptions, such as EngineOptions(path='autograd')"),
    "seed": (lambda seed: _is_whole(seed) and seed >= 0, "a whole number >= 0"),
    "name": (_of(str), "a text"),
    "command": (_of(str), "a text"),
    "progress": (callable, "a function of the steps done and the steps in all"),
}
