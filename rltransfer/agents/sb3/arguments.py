"""Policy class and policy arguments, from the entries of a zip."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from rltransfer.agents.inert import Call, Global, Record, plain, scalar
from rltransfer.agents.inert.records import Mapping as Pairs
from rltransfer.agents.inert.records import called, pairs_of
from rltransfer.agents.sb3 import argument_rules, twins
from rltransfer.agents.sb3.container import Container
from rltransfer.agents.sb3.names import SKELETONS, class_name
from rltransfer.errors import BadCheckpoint

_MAX_DEPTH = 12
_LONGEST_NAME = 512


def read(container: Container, *, own_policy: bool, recurrent: bool) -> tuple[dict[str, Any], str]:
    """Read the arguments of the policy as an agent writes them.

    Args:
        container: The zip.
        own_policy: Whether the policy is a class of the user, which may take anything.
        recurrent: Whether it is a recurrent one.

    Returns:
        JSON data, in which classes are ``{"$class": name}``, and how they were read.

    Raises:
        BadCheckpoint: They hold something else than data and classes, or something that no policy
            of Stable-Baselines3 takes.
    """
    key = "policy_kwargs"
    if container.data.get(key) is None:
        return {}, "default"
    pickled = container.is_pickled(key)
    record = container.record(key) if pickled else _as_record(container.data[key])
    arguments = _encode(record, container, key, 0)
    if not isinstance(arguments, dict) or "$dict" in arguments or "$class" in arguments:
        raise BadCheckpoint(f"{key}: expected arguments by name")
    if pickled:
        twins.check(container.twin(key), _attributes(record), key)
    argument_rules.drop_old(arguments)
    if "net_arch" in arguments:
        arguments["net_arch"] = _lists(arguments["net_arch"])
    if not own_policy:
        argument_rules.check(arguments, recurrent=recurrent)
    return arguments, "inert pickle" if pickled else "plain"


def optimizer(arguments: Mapping[str, Any]) -> str:
    """Return the name of the optimizer's class."""
    given = arguments.get("optimizer_class")
    return given.get("$class", "") if isinstance(given, dict) else "torch.optim.Adam"


def own_classes(data: Any) -> set[str]:
    """Return the classes of the user in arguments."""
    if isinstance(data, list):
        return set().union(*map(own_classes, data))
    if not isinstance(data, dict):
        return set()
    name = data.get("$class")
    if isinstance(name, str):
        return {name} if ":" in name else set()
    return set().union(*map(own_classes, data.values()))


def shown(data: Any) -> str:
    """Write arguments as a person would: classes by their names."""
    if isinstance(data, dict) and set(data) == {"$class"}:
        return data["$class"]
    if isinstance(data, dict):
        return ", ".join(f"{name}={shown(part)}" for name, part in data.items()) or "none"
    return str(data)


def class_path(record: Record) -> Global | None:
    """Return the class that a record names, be it by reference or by value, or None."""
    if isinstance(record, Global):
        return record
    if not isinstance(record, Call) or called(record) not in SKELETONS or len(record.args) < 4:
        return None
    # _make_skeleton_class(metaclass, name, bases, {"__module__": ...}, ...)
    name, attributes = record.args[1], dict(_text_pairs(record.args[3]))
    module = attributes.get("__module__", "__main__")
    if isinstance(record.state, tuple) and record.state:
        module = dict(_text_pairs(record.state[0])).get("__module__", module)
    return Global(module, name) if _is_name(module) and _is_name(name) else None


def _is_name(text: Record) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def bases(record: Record) -> list[str]:
    """Return the paths of the classes that a class by value derives from."""
    if not isinstance(record, Call) or called(record) not in SKELETONS or len(record.args) < 3:
        return []
    parents = record.args[2] if isinstance(record.args[2], tuple) else ()
    return [base.path for base in parents if isinstance(base, Global)]


def _lists(data: Any) -> Any:
    """Write tuples as lists, which mean the same in ``net_arch``."""
    if isinstance(data, dict) and set(data) == {"$tuple"}:
        data = data["$tuple"]
    if isinstance(data, dict):
        return {name: _lists(part) for name, part in data.items()}
    return [_lists(part) for part in data] if isinstance(data, list) else data


def _text_pairs(record: Record) -> list[tuple[str, Record]]:
    return [(key, value) for key, value in pairs_of(record) or () if isinstance(key, str)]


def _as_record(value: Any, depth: int = 0) -> Record:
    """Write plain JSON as a pickle would say it, so that both go one way."""
    if depth > _MAX_DEPTH:
        raise BadCheckpoint("policy_kwargs are nested too deep")
    if isinstance(value, dict):
        return Pairs([(key, _as_record(part, depth + 1)) for key, part in value.items()])
    return [_as_record(part, depth + 1) for part in value] if isinstance(value, list) else value


def _encode(record: Record, container: Container, where: str, depth: int) -> Any:
    """Write an argument as JSON data; see :func:`rltransfer.agents.classes.encode`."""
    container.budget.spend("nodes")
    if depth > _MAX_DEPTH:
        raise BadCheckpoint(f"{where} is nested too deep")
    if record is None or isinstance(record, bool | int | str):
        return record
    if isinstance(record, float):
        if not math.isfinite(record):
            raise BadCheckpoint(f"{where} is {record}: expected a finite number")
        return record
    if isinstance(record, list | tuple):
        parts = [_encode(p, container, f"{where}[{i}]", depth + 1) for i, p in enumerate(record)]
        return {"$tuple": parts} if isinstance(record, tuple) else parts
    pairs = pairs_of(record)
    if pairs is not None:
        return _encode_pairs(pairs, container, where, depth)
    named = class_path(record)
    if named is not None:
        return {"$class": class_name(named)}
    try:
        return scalar(record)
    except BadCheckpoint:
        raise BadCheckpoint(
            f"{where} is neither data nor a class, but what "
            f"{called(record) or type(record).__name__.lower()} makes, which is code and not run"
        ) from None


def _encode_pairs(pairs: Any, container: Container, where: str, depth: int) -> Any:
    found: dict[Any, Any] = {}
    for key, part in pairs:
        # A file can choose larger numbers such that all have one hash.
        small = type(key) is int and abs(key) < 2**31
        if not (small or type(key) is str) or key in found:
            raise BadCheckpoint(f"{where} has a key twice, or one that is no text or small number")
        found[key] = _encode(part, container, f"{where}[{key!r:.30}]", depth + 1)
    if all(isinstance(key, str) and not key.startswith("$") for key in found):
        return found
    return {"$dict": [list(pair) for pair in found.items()]}


def _attributes(record: Record) -> dict[str, Any]:
    """What can be compared with the text: data as they are, classes as Python prints them."""
    found: dict[str, Any] = {}
    for name, value in _text_pairs(record):
        if isinstance(value, Global):
            found[name] = f"<class '{value.path}'>"
        else:
            with contextlib.suppress(BadCheckpoint):
                found[name] = plain(value)
    return found
