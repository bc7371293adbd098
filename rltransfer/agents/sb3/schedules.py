"""Schedules of learning rates and clip ranges, from the records of their pickles.

Since 2.7, Stable-Baselines3 has classes for them. Before, they were functions, and what is stored
is their byte code and the values that they close over. Four such functions are known: they are
recognized by their byte code, byte by byte, and only the values are taken. None is ever run.
"""

from __future__ import annotations

from rltransfer.agents.inert import Call, Global, Record, instance, scalar, state
from rltransfer.agents.sb3.functions import Function, function
from rltransfer.errors import BadCheckpoint

# Some versions wrapped the schedule once more with each load and save.
_MAX_DEPTH = 64
_UTILS = "stable_baselines3.common.utils"
_CLASSES = {
    f"{_UTILS}.ConstantSchedule": ("val",),
    f"{_UTILS}.FloatSchedule": ("value_schedule",),
    f"{_UTILS}.LinearSchedule": ("start", "end", "end_fraction"),
    "rl_zoo3.utils.SimpleLinearSchedule": ("initial_value",),
}

Schedule = int | float | dict[str, int | float]


def decode(record: Record, depth: int = 0) -> Schedule | None:
    """Return what a schedule is, or None if it is none of the known ones.

    Args:
        record: A number, or the pickle of a schedule.
        depth: How many schedules are around it.

    Returns:
        A number for a constant, ``{"start", "end", "end_fraction"}`` for a linear schedule, as
        hyperparameters of an agent are written.

    Raises:
        BadCheckpoint: It is one of the known ones, but malformed.
    """
    if depth > _MAX_DEPTH or record is None:
        return None
    if isinstance(record, bool | int | float):
        return record
    found = instance(record)
    if found is not None:
        return _object(found[0], found[1], depth)
    body = function(record)
    try:
        return scalar(record) if body is None else _closure(body, depth)
    except BadCheckpoint:
        return None


def _object(kind: Global, call: Call, depth: int) -> Schedule | None:
    names = _CLASSES.get(kind.path)
    if names is None:
        return None
    given = state(call)
    if set(given) != set(names):
        raise BadCheckpoint(f"a {kind.name} has other attributes than {', '.join(names)}")
    if "value_schedule" in given:
        return decode(given["value_schedule"], depth + 1)
    if "initial_value" in given:
        return _linear(given["initial_value"])
    if "val" in given:
        return scalar(given["val"])
    return {name: scalar(given[name]) for name in names}


def _closure(body: Function, depth: int) -> Schedule | None:
    values = body.closure
    if body.shape == "constant":  # constant_fn(val)
        return decode(values[0], depth + 1)
    if body.shape == "linear":  # linear_schedule(initial_value) of the RL Zoo
        return _linear(values[0])
    if body.shape == "between":  # get_linear_fn(start, end, end_fraction), free variables sorted
        end, fraction, start = map(scalar, values)
        return {"start": start, "end": end, "end_fraction": fraction}
    if body.shape == "float":  # get_schedule_fn(value_schedule) of 2.3 to 2.6
        return decode(values[0], depth + 1)
    return None


def _linear(initial: Record) -> Schedule:
    return {"start": scalar(initial), "end": 0.0, "end_fraction": 1.0}
