"""Functions that were pickled by value, recognized by their byte code."""

from __future__ import annotations

from dataclasses import dataclass

from rltransfer.agents.inert import Call, Mapping, Record, named, state
from rltransfer.agents.inert.records import called, cloudpickled
from rltransfer.errors import BadCheckpoint

_TYPE, _MAKE, _CELL, _SKELETON, _FILL = map(
    cloudpickled,
    (
        "_builtin_type",
        "_make_function",
        "_make_cell",
        "_make_skel_func",
        "_fill_function",
    ),
)
#: Byte code as CPython compiles the function; versions that share it are named once.
_SHAPES = {
    # def func(_): return val
    "88005300": "constant",  # 3.6 to 3.10
    "9501970089015300": "constant",  # 3.11, 3.12
    "3e01950054012400": "constant",  # 3.13
    # def func(progress_remaining): return progress_remaining * initial_value
    "7c00880014005300": "linear",  # 3.6 to 3.10
    "950197007c0089017a0500005300": "linear",  # 3.11, 3.12
    "3e019500550054012d0500002400": "linear",  # 3.13
    # lambda progress_remaining: float(value_schedule(progress_remaining))
    "740088007c00830183015300": "float",  # 3.6 to 3.10
    "95019700740100000000000000000000020089017c00a6010000ab01000000"
    "0000000000a6010000ab0100000000000000005300": "float",  # 3.11
    "9501970074010000000000000000020089017c00ab01000000000000ab010000000000005300": "float",  # 3.12
    "3e0195005b010000000000000000540122005500350100000000000035010000000000002400": "float",  # 3.13
    # def func(progress_remaining):
    #     if (1 - progress_remaining) > end_fraction: return end
    #     else: return start + (1 - progress_remaining) * (end - start) / end_fraction
    "64017c00180088016b04721088005300880264017c00180088008802180014"
    "0088011b001700530064005300": "between",  # 3.6 to 3.9
    "64017c00180088016b04720888005300880264017c00180088008802180014"
    "0088011b0017005300": "between",  # 3.10
    "9503970064017c007a0a000089026b0400000000720289015300890364017c"
    "007a0a0000890189037a0a00007a05000089027a0b00007a0000005300": "between",  # 3.11
    "9503970064017c007a0a000089026b440000720289015300890364017c007a"
    "0a0000890189037a0a00007a05000089027a0b00007a0000005300": "between",  # 3.12
    "3e039500530155002d0a000054023a9400006102000054012400540353015500"
    "2d0a0000540154032d0a00002d05000054022d0b00002d0000002400": "between",  # 3.13
}
_NAMES = {"float": ("float",)}
#: By the number of arguments of CodeType: which of them say how many arguments the function has,
#: which are its code, constants and names, and which its free and cell variables.
_LAYOUTS = {
    15: ((0, 1), (5, 6, 7), (13, 14)),  # 3.6, 3.7
    16: ((0, 1, 2), (6, 7, 8), (14, 15)),  # 3.8 to 3.10
    18: ((0, 1, 2), (6, 7, 8), (16, 17)),  # from 3.11
}


@dataclass(frozen=True)
class Function:
    """A function by value.

    Attributes:
        shape: Which known one it is, or empty.
        closure: The values that it closes over, in the order of its free variables.
    """

    shape: str
    closure: tuple[Record, ...]


def function(record: Record) -> Function | None:
    """Return what a record of a function says, or None if it is none."""
    if not isinstance(record, Call):
        return None
    try:
        if called(record) in _FILL:
            return _filled(record)
        if called(record) in _MAKE or _makes(record.function, ("LambdaType", "FunctionType")):
            return _made(record)
    except BadCheckpoint:
        return Function("", ())
    return None


def _makes(record: Record, types: tuple[str, ...]) -> bool:
    if not isinstance(record, Call) or called(record) not in _TYPE or len(record.args) != 1:
        return False
    return record.args[0] in types


def _made(record: Call) -> Function:
    """Read ``FunctionType(code, globals, name, defaults, closure)`` and the state after it."""
    code, scope = record.args[:2] if len(record.args) >= 2 else (None, None)
    given = state(record)
    cells = given.get("__closure__") or (record.args[4] if len(record.args) > 4 else None)
    cells = cells if isinstance(cells, tuple) else ()
    values = tuple(_content(cell) for cell in cells)
    scopes = [scope, given.get("__globals__")]
    return _known(code, values, [part for part in scopes if part is not None])


def _filled(record: Call) -> Function:
    """Read ``_fill_function(_make_skel_func(code, ...), state)`` of old versions."""
    skeleton, given = record.args if len(record.args) == 2 else (None, None)
    if not (isinstance(skeleton, Call) and called(skeleton) in _SKELETON and skeleton.args):
        return Function("", ())
    parts = named(given)
    values = parts.get("closure_values")
    values = tuple(values) if isinstance(values, list | tuple) else ()
    return _known(skeleton.args[0], values, [parts.get("globals", Mapping([]))])


def _content(cell: Record) -> Record:
    if isinstance(cell, Call) and called(cell) in _CELL and len(cell.args) == 1:
        return cell.args[0]
    raise BadCheckpoint("a function has an empty cell")


def _known(code: Record, values: tuple[Record, ...], scopes: list[Record]) -> Function:
    """Compare the code with the known ones, and its names with what they mean there."""
    shape = _shape(code)
    hidden = any("float" in named(scope) for scope in scopes)  # where float is not Python's own
    fits = shape and len(values) == (3 if shape == "between" else 1)
    return (
        Function(shape, values) if fits and not (shape == "float" and hidden) else Function("", ())
    )


def _shape(code: Record) -> str:
    if not isinstance(code, Call) or not _makes(code.function, ("CodeType",)):
        return ""
    if len(code.args) not in _LAYOUTS:
        return ""
    counts, body, variables = _LAYOUTS[len(code.args)]
    content, constants, names = (code.args[i] for i in body)
    free, cells = (code.args[i] for i in variables)
    shape = _SHAPES.get(content.hex(), "") if isinstance(content, bytes) else ""
    fits = (
        [code.args[i] for i in counts] == [1, *(0 for _ in counts[1:])]
        and names == _NAMES.get(shape, ())
        and cells == ()
        and _variables_fit(shape, free, constants)
    )
    return shape if fits else ""


def _variables_fit(shape: str, free: Record, constants: Record) -> bool:
    if not isinstance(free, tuple) or not isinstance(constants, tuple):
        return False
    if shape != "between":
        return len(free) == 1
    # 1 is the second constant, after None or the documentation of the function.
    return free == ("end", "end_fraction", "start") and constants[1:] == (1,)
