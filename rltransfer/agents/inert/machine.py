"""From the instructions of a pickle to the records of what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rltransfer.agents.inert.limits import Budget
from rltransfer.agents.inert.records import (
    Call,
    Global,
    Mapping,
    Members,
    Persistent,
    Record,
    called,
    cloudpickled,
)
from rltransfer.agents.inert.tokens import NAMES, tokens
from rltransfer.errors import BadCheckpoint

_MAX_NAME = 512
#: By these cloudpickle gives a state to a function or class; the result of the call is dropped.
_SETTERS = cloudpickled("_function_setstate", "_class_setstate")
#: What gives the type of functions and of code, to make one.
_TYPES = cloudpickled("_builtin_type")
#: Stands among the names for a call of what the pickle itself makes, such as a function by value.
_MADE_HERE = Global("(what the file itself makes)", "call")


def examine(content: bytes, budget: Budget) -> tuple[Record, list[Global]]:
    """Read a pickle as data; nothing is imported, called, or looked up.

    Args:
        content: One whole pickle, of protocol 0 to 5.
        budget: What reading may cost.

    Returns:
        What it says, and the classes and functions that it names, each once, in order.

    Raises:
        BadCheckpoint: It is malformed or too large.
    """
    machine = _Machine()
    record = machine.run(content, budget)
    return record, list(machine.named)


class _Machine:
    """The stack machine of ``pickle``, whose products are records.

    One method an opcode: ``do_`` and its lower-case name.
    """

    def __init__(self) -> None:
        self.stack: list[Record] = []
        self.below: list[list[Record]] = []  # stacks under the marks
        self.memo: dict[int, Record] = {}
        self.named: dict[Global, None] = {}

    def run(self, content: bytes, budget: Budget) -> Record:
        for name, argument in tokens(content, budget):
            if name == "PUSH":
                self.stack.append(argument)
            elif name not in _IDLE:
                _HANDLERS[name](self, argument)
        return self.pop()

    # The stack.

    def pop(self) -> Any:
        if not self.stack:
            raise BadCheckpoint("a pickle takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise BadCheckpoint("a pickle looks at an empty stack")
        return self.stack[-1]

    def since_mark(self) -> list[Record]:
        if not self.below:
            raise BadCheckpoint("a pickle misses a mark")
        items, self.stack = self.stack, self.below.pop()
        return items

    def do_mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def do_pop_mark(self, _: Any) -> None:
        self.since_mark()

    def do_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.top())

    # The memo.

    def do_put(self, index: int) -> None:
        self.memo[index] = self.top()

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.top()

    def do_get(self, index: int) -> None:
        if index not in self.memo:
            raise BadCheckpoint("a pickle refers to what it never stored")
        self.stack.append(self.memo[index])

    # Constants and containers.

    def do_none(self, _: Any) -> None:
        self.stack.append(None)

    def do_true(self, _: Any) -> None:
        self.stack.append(True)

    def do_false(self, _: Any) -> None:
        self.stack.append(False)

    def do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def do_list(self, _: Any) -> None:
        self._push(self.since_mark())

    def do_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def do_tuple(self, _: Any) -> None:
        self._push(tuple(self.since_mark()))

    def do_tuple1(self, _: Any) -> None:
        self.stack.append((self.pop(),))

    def do_tuple2(self, _: Any) -> None:
        last = self.pop()
        self.stack.append((self.pop(), last))

    def do_tuple3(self, _: Any) -> None:
        last, middle = self.pop(), self.pop()
        self.stack.append((self.pop(), middle, last))

    def do_empty_dict(self, _: Any) -> None:
        self.stack.append(Mapping([]))

    def do_dict(self, _: Any) -> None:
        self._push(Mapping(_in_pairs(self.since_mark())))

    def do_empty_set(self, _: Any) -> None:
        self.stack.append(Members([]))

    def do_frozenset(self, _: Any) -> None:
        self._push(Members(self.since_mark()))

    def _push(self, value: Record) -> None:
        # Apart from its argument, because since_mark() exchanges the stack.
        self.stack.append(value)

    # What is put into something that exists.

    def do_append(self, _: Any) -> None:
        item = self.pop()
        _items_of(self.top(), list).append(item)

    def do_appends(self, _: Any) -> None:
        items = self.since_mark()
        _items_of(self.top(), list).extend(items)

    def do_additems(self, _: Any) -> None:
        items = self.since_mark()
        _items_of(self.top(), Members).extend(items)

    def do_setitem(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        _pairs_in(self.top()).append((key, value))

    def do_setitems(self, _: Any) -> None:
        items = self.since_mark()
        _pairs_in(self.top()).extend(_in_pairs(items))

    def do_build(self, _: Any) -> None:
        given, target = self.pop(), self.top()
        if not isinstance(target, Call) or target.state is not None:
            raise BadCheckpoint("a pickle gives a state to what has none to be given")
        target.state = given

    # Names and calls.

    def do_global(self, names: tuple[str, str]) -> None:
        if not all(type(n) is str and len(n) <= _MAX_NAME and n.isprintable() for n in names):
            raise BadCheckpoint("a pickle has a malformed name")
        found = Global(*names)
        self.named[found] = None
        self.stack.append(found)

    def do_stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self.do_global((module, name))

    def do_inst(self, names: tuple[str, str]) -> None:
        args = self.since_mark()
        self.do_global(names)
        self._call(self.pop(), tuple(args), new=not args)

    def do_obj(self, _: Any) -> None:
        items = self.since_mark()
        if not items:
            raise BadCheckpoint("a pickle makes an object of no class")
        self._call(items[0], tuple(items[1:]), new=len(items) == 1)

    def do_reduce(self, _: Any) -> None:
        args, function = self.pop(), self.pop()
        self._call(function, args)
        if not isinstance(function, Global) and called(function) not in _TYPES:
            self.named[_MADE_HERE] = None
        if isinstance(function, Global) and function.path in _SETTERS and len(args) == 2:
            _set_state(*args)

    def do_newobj(self, _: Any) -> None:
        args = self.pop()
        self._call(self.pop(), args, new=True)

    def do_newobj_ex(self, _: Any) -> None:
        kwargs, args = self.pop(), self.pop()
        self._call(self.pop(), args, kwargs=kwargs, new=True)

    def _call(
        self, function: Record, args: Any, *, kwargs: Record = None, new: bool = False
    ) -> None:
        if type(args) is not tuple:
            raise BadCheckpoint("a pickle calls with something else than a tuple")
        empty = isinstance(kwargs, Mapping) and not kwargs.pairs
        self.stack.append(Call(function, args, None if empty else kwargs, new))

    def do_persid(self, text: str) -> None:
        self.stack.append(Persistent(text))

    def do_binpersid(self, _: Any) -> None:
        self.stack.append(Persistent(self.pop()))


def _set_state(target: Any, given: Record) -> None:
    if isinstance(target, Call) and target.state is None:
        target.state = given


def _items_of(target: Record, kind: type) -> Any:
    if isinstance(target, kind) and isinstance(target, list):
        return target
    if isinstance(target, Call | Members) and isinstance(target, (kind, Call)):
        return target.items
    raise BadCheckpoint("a pickle appends to what is no list")


def _pairs_in(target: Record) -> Any:
    if isinstance(target, Mapping | Call):
        return target.pairs
    raise BadCheckpoint("a pickle sets items of what is no dict")


def _in_pairs(items: list[Record]) -> list[tuple[Record, Record]]:
    if len(items) % 2:
        raise BadCheckpoint("a pickle has a key without a value")
    return list(zip(items[::2], items[1::2], strict=True))


# Frames and the protocol only help a reader of streams.
_IDLE = {"FRAME", "PROTO", "STOP"}
_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    name: getattr(_Machine, f"do_{name.lower()}") for name in NAMES - _IDLE - {"PUSH"}
}
