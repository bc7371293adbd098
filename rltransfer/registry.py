"""Tasks and pairs, on top of Gymnasium's own registration.

A task id *is* the Gymnasium id. A :class:`Task` adds only what Gymnasium lacks (scores, family,
what was varied), so any Gymnasium id is a task, registered here or not.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any, TypeVar

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rltransfer.errors import (
    BadArgument,
    BadEnvironment,
    MissingExtra,
    RegistrationConflict,
    TransferError,
    UnknownName,
    suggest,
)
from rltransfer.task_types import Expect, Pair, Shift, Task

__all__ = [
    "Expect",
    "Pair",
    "Shift",
    "Task",
    "id_of",
    "make",
    "pair",
    "pairs",
    "register_pair",
    "register_task",
    "spec",
    "task",
    "tasks",
]

Entry = TypeVar("Entry", Task, Pair)

# Which extra brings the package behind an environment that nobody registered as a task.
_EXTRA_OF_MODULE = {
    "gymnasium.envs.box2d": "box2d",
    "gymnasium.envs.mujoco": "mujoco",
    "minigrid": "minigrid",
}

_tasks: dict[str, Task] = {}
_pairs: dict[str, Pair] = {}


def register_task(id: str, **fields: Any) -> Task:
    """Tell rltransfer more about a Gymnasium id, which ``gymnasium.register`` registers.

    Args:
        id: The Gymnasium id, without a module.
        fields: The other fields of :class:`Task`.

    Returns:
        The task. Registering the same again changes nothing.

    Raises:
        BadArgument: A field is unknown or outside its range.
        RegistrationConflict: The id is registered with other fields.
    """
    if ":" in id:
        raise BadArgument(
            f"register_task got {id!r}; give the Gymnasium id alone: {id.rpartition(':')[2]!r}"
        )
    return _register(_tasks, id, _build(Task, id=id, **fields), kind="task")


def register_pair(name: str, source: str, target: str, **fields: Any) -> Pair:
    """Name a source and a target task that belong together.

    Args:
        name: Name of the pair.
        source: Id of the source task.
        target: Id of the target task.
        fields: The other fields of :class:`Pair`.

    Returns:
        The pair. Registering the same again changes nothing.

    Raises:
        BadArgument: A field is unknown, missing or outside its range.
        RegistrationConflict: The name is taken by another pair.
    """
    built = _build(Pair, name=name, source=source, target=target, **fields)
    return _register(_pairs, name, built, kind="pair")


def tasks() -> dict[str, Task]:
    """Return all registered tasks by id, in order of registration."""
    return dict(_tasks)


def pairs() -> dict[str, Pair]:
    """Return all registered pairs by name, in order of registration."""
    return dict(_pairs)


def id_of(target: str | EnvSpec) -> str:
    """Return the id by which a task was given, or that of its spec."""
    return target if isinstance(target, str) else target.id


def task(id: str) -> Task:
    """Look a task up; any Gymnasium id is one.

    Args:
        id: Gymnasium id, or ``module:id`` to import a module that registers it.

    Returns:
        The registered task, or one that knows its id alone (as it was given).

    Raises:
        UnknownName: Gymnasium has no such id either, or the module does not exist.
        BadEnvironment: The module raised an error while it was imported.
    """
    found = _tasks.get(_import_module_of(id))
    if found is not None:
        return found
    spec(id)
    return Task(id=id)


def pair(name: str) -> Pair:
    """Look a pair up.

    Args:
        name: Its name.

    Raises:
        UnknownName: No pair has that name.
    """
    if name not in _pairs:
        raise UnknownName(suggest(name, _pairs, kind="pair"))
    return _pairs[name]


def spec(id: str) -> EnvSpec:
    """Return Gymnasium's spec of a task.

    Args:
        id: Gymnasium id, or ``module:id``.

    Raises:
        UnknownName: Gymnasium has no such id, or the module does not exist.
        BadEnvironment: The module raised an error while it was imported.
    """
    name = _import_module_of(id)
    try:
        return gym.spec(name)
    except gym.error.Error as error:
        raise UnknownName(_unknown_task(name)) from error


def make(id: str | EnvSpec, **kwargs: Any) -> gym.Env:
    """Make an environment; the one place where rltransfer does.

    Args:
        id: Gymnasium id, ``module:id`` (the module is imported, it registers the id), or a spec.
        kwargs: Passed to ``gymnasium.make``, which passes them to the constructor.

    Returns:
        The environment, with Gymnasium's time limit, without its passive checker, which costs time
        at every step and repeats what ``rltransfer check`` reports.

    Raises:
        UnknownName: Gymnasium has no such id, or the module does not exist.
        MissingExtra: The environment needs a package that is not installed.
        BadArgument: The constructor does not take one of ``kwargs``.
        BadEnvironment: The constructor, or the module, raised an error.
    """
    env_spec = id if isinstance(id, EnvSpec) else spec(id)
    try:
        return gym.make(env_spec, **{"disable_env_checker": True, **kwargs})
    except TransferError:
        raise
    except (ModuleNotFoundError, gym.error.DependencyNotInstalled) as error:
        raise _missing_package(env_spec, error) from error
    except Exception as error:
        if kwargs and "unexpected keyword argument" in str(error):
            raise BadArgument(
                f"{env_spec.id} does not take one of {', '.join(kwargs)}: {_one_line(error)}"
            ) from error
        raise BadEnvironment(f"{env_spec.id} could not be made: {_one_line(error)}") from error


def _build(kind: type[Entry], **fields: Any) -> Entry:
    try:
        return kind(**fields)
    except TypeError as error:
        raise BadArgument(
            f"{kind.__name__} got {', '.join(fields)}; its fields are"
            f" {', '.join(kind.__dataclass_fields__)} ({_one_line(error)})"
        ) from error


def _register(table: dict[str, Entry], name: str, new: Entry, *, kind: str) -> Entry:
    old = table.setdefault(name, new)
    if old != new:
        differing = [f for f in new.__dataclass_fields__ if getattr(old, f) != getattr(new, f)]
        raise RegistrationConflict(
            f"{kind} {name!r} is registered with another {', '.join(differing)};"
            f" choose another name, or repeat the first registration exactly"
        )
    return old


def _import_module_of(id: str) -> str:
    """Import the module of ``module:id``, if there is one, and return the bare id."""
    module, _, name = id.rpartition(":")
    if not module:
        return name
    try:
        importlib.import_module(module)
    except TransferError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_within(error.name, module):
            raise UnknownName(
                f"no module is named {module!r} (from {id!r}); it must be importable:"
                " start from the folder that holds it, or add that folder to PYTHONPATH"
            ) from error
        raise BadEnvironment(
            f"module {module!r} (from {id!r}) raised an error while it was imported:"
            f" {_one_line(error)}"
        ) from error
    return name


def _is_within(missing: str | None, module: str) -> bool:
    """Whether the module that was not found is the one asked for, or a package around it."""
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _unknown_task(name: str) -> str:
    known = [*_tasks, *gym.registry]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"no task is named {name!r}.{hint} `rltransfer ls tasks` lists some, any Gymnasium"
        " id will do, and module:id imports the module that registers your own"
    )


def _missing_package(env_spec: EnvSpec, error: Exception) -> TransferError:
    known = _tasks.get(env_spec.id)
    module = env_spec.entry_point if isinstance(env_spec.entry_point, str) else ""
    extras = [extra for prefix, extra in _EXTRA_OF_MODULE.items() if module.startswith(prefix)]
    extra = known.extra if known and known.extra else next(iter(extras), None)
    if extra is not None:
        return MissingExtra.of(env_spec.id, extra)
    return MissingExtra(f"{env_spec.id} needs a package that is missing: {_one_line(error)}")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
