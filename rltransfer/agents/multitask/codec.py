"""Tasks of a multi-task policy as JSON data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rltransfer.agents import spaces
from rltransfer.agents.jsondata import only, take
from rltransfer.errors import BadCheckpoint, TransferError, printable
from rltransfer.policies.tasks import PolicyTask

_KINDS: Mapping[str, type] = {
    **{"id": str, "observation_space": dict, "action_space": dict, "encoder": str, "head": str},
    **{"gamma": float, "noise": float, "log_std": float, "masked": bool},
}
# Elements of all spaces in one policy's arguments together.
_MAX_ELEMENTS = 2**22


def encode(task: PolicyTask) -> dict[str, Any]:
    """Describe a task as JSON data.

    Raises:
        BadArgument: A space cannot be stored.
    """
    found = {field.name: getattr(task, field.name) for field in fields(task)}
    for name in ("observation_space", "action_space"):
        found[name] = spaces.encode(found[name])
    for name in ("gamma", "noise", "log_std"):
        found[name] = float(found[name])
    return found


def decode(data: Any) -> PolicyTask:
    """Rebuild the task that :func:`encode` described.

    Raises:
        BadCheckpoint: The data do not describe a task.
    """
    if not isinstance(data, Mapping):
        raise BadCheckpoint(f"expected a task, got {data!r:.60}")
    only(data, tuple(_KINDS), "the task")
    values = {name: take(data, name, kind) for name, kind in _KINDS.items()}
    if not all(values[name].isprintable() for name in ("id", "encoder", "head")):
        raise BadCheckpoint(f"task {values['id']!r:.80} has names that cannot be printed")
    for name in ("observation_space", "action_space"):
        values[name] = spaces.decode(values[name])
    try:
        task = PolicyTask(**values)
    except (TransferError, OverflowError, TypeError, ValueError) as error:
        raise BadCheckpoint(printable(f"no such task: {error!s:.300}")) from error
    # Names that PolicyTask completed or changed do not come back.
    if encode(task) != dict(data):
        raise BadCheckpoint(f"the description of task {task.id!r:.80} contradicts itself")
    return task


def check_size(data: Any) -> None:
    """Refuse policy arguments whose spaces would take far more memory than their description.

    Raises:
        BadCheckpoint: They have too many elements.
    """
    total, rest = 0, [data]
    while rest:
        part = rest.pop()
        if isinstance(part, Mapping):
            total += spaces.described(part) if "type" in part else 0
            rest.extend(value for key, value in part.items() if key != "spaces")
        elif isinstance(part, list | tuple):
            rest.extend(part)
        if total > _MAX_ELEMENTS:
            raise BadCheckpoint(
                f"the spaces of all tasks have more than {_MAX_ELEMENTS:,} elements, too many"
            )
