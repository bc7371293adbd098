"""What a pickle says, as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from rltransfer.errors import BadCheckpoint


@dataclass(frozen=True, slots=True)
class Global:
    """Name of a class or function of somebody's module; never looked up.

    Attributes:
        module: Dotted name of the module.
        name: Name in it, dotted for what is nested.
    """

    module: str
    name: str

    @property
    def path(self) -> str:
        """``"module.name"``."""
        return f"{self.module}.{self.name}"


# Compared by identity and without a repr of their parts: a file may nest or loop them at will.
@dataclass(slots=True, eq=False, repr=False)
class Call:
    """``function(*args, **kwargs)``, and what was put into the result afterwards.

    Attributes:
        function: What would be called, mostly a :class:`Global`.
        args: Positional arguments, a tuple.
        kwargs: Named arguments, or None.
        new: Whether ``function.__new__`` was meant, as for most objects.
        state: What ``__setstate__`` would get, or None.
        items: What would be appended or added.
        pairs: Keys and values that would be set.
    """

    function: Record
    args: tuple[Record, ...]
    kwargs: Record = None
    new: bool = False
    state: Record = None
    items: list[Record] = field(default_factory=list)
    pairs: list[tuple[Record, Record]] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class Mapping:
    """A dict. Its keys are not hashed: a file can choose keys that all collide."""

    pairs: list[tuple[Record, Record]]


@dataclass(slots=True, eq=False, repr=False)
class Members:
    """A set or frozenset."""

    items: list[Record]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Persistent:
    """Reference to something outside of the pickle, such as the storage of a tensor."""

    id: Record


_Compound: TypeAlias = (
    "list[Record] | tuple[Record, ...] | Mapping | Members | Global | Call | Persistent"
)
Record: TypeAlias = "bool | int | float | str | bytes | _Compound | None"

_DICTS = {"collections.OrderedDict", "builtins.dict", "__builtin__.dict"}
_RECONSTRUCTORS = {"copyreg._reconstructor", "copy_reg._reconstructor"}
_NEW = {"copyreg.__newobj__", "copy_reg.__newobj__"}


def cloudpickled(*names: str) -> set[str]:
    """Return the dotted names of functions of cloudpickle, in both modules that it has had."""
    modules = ("cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast")
    return {f"{module}.{name}" for module in modules for name in names}


def pairs_of(record: Record) -> Sequence[tuple[Record, Record]] | None:
    """Return keys and values of a dict or OrderedDict, or None if the record is none."""
    if isinstance(record, Mapping):
        return record.pairs
    if isinstance(record, Call) and called(record) in _DICTS:
        other = record.args or record.kwargs or record.items
        return None if other else record.pairs
    return None


def called(record: Record) -> str | None:
    """Return the dotted name of what a call would call, or None."""
    if isinstance(record, Call) and isinstance(record.function, Global):
        return record.function.path
    return None


def name_in(record: Record) -> str | None:
    """Return the dotted name that a record is, or calls, or None."""
    return record.path if isinstance(record, Global) else called(record)


def named(record: Record) -> dict[str, Record]:
    """Return a dict with text keys.

    Raises:
        BadCheckpoint: The record is no dict, or has another key, or one twice.
    """
    pairs = pairs_of(record)
    if pairs is None:
        raise BadCheckpoint("expected a dict")
    found: dict[str, Record] = {}
    for key, value in pairs:
        if type(key) is not str or key in found:
            raise BadCheckpoint("expected a dict whose keys are texts, each once")
        found[key] = value
    return found


def instance(record: Record) -> tuple[Global, Call] | None:
    """Tell whether a record is an object of a class made without arguments, as objects mostly are.

    Returns:
        The class and the record; its attributes are ``state(call)``. None for anything else.
    """
    if not isinstance(record, Call) or record.kwargs:
        return None
    name, args = called(record), record.args
    if record.new and isinstance(record.function, Global) and not args:
        return record.function, record
    if name in _NEW and len(args) == 1 and isinstance(args[0], Global):
        return args[0], record
    plain = name in _RECONSTRUCTORS and len(args) == 3 and args[2] is None
    if plain and isinstance(args[0], Global):
        return args[0], record
    return None


def state(call: Call) -> dict[str, Record]:
    """Return the attributes that an object would get, also those that live in slots.

    Raises:
        BadCheckpoint: The object has a state of another form.
    """
    given = call.state
    if given is None:
        return {}
    if isinstance(given, tuple) and len(given) == 2:
        parts = [named(part) for part in given if part is not None]
        if len(parts) == 2 and parts[0].keys() & parts[1].keys():
            raise BadCheckpoint("an object has an attribute twice")
        return {name: value for part in parts for name, value in part.items()}
    return named(given)
