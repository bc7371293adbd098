"""From the ids and options that a user gives to the tasks of a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from rltransfer.errors import BadArgument, UnknownName, suggest
from rltransfer.policies.tasks import PolicyTask, module_name
from rltransfer.vec import make_vec, task_of

Sharing = Literal["own", "shared"]
TaskOptions = Mapping[str, Mapping[str, Any]]

# What may be said about one task; of a source only where training starts from an agent.
OPTIONS = ("gamma", "noise", "log_std", "encoder", "head", "source")


def check_ids(tasks: Any) -> tuple[str, ...]:
    """Check the tasks that are to be played.

    Raises:
        BadArgument: There is none, one is no id, or two are the same.
    """
    if isinstance(tasks, str) or not isinstance(tasks, Sequence):
        raise BadArgument(f"tasks is {tasks!r}: give a list of Gymnasium ids, such as [{tasks!r}]")
    if not tasks:
        raise BadArgument("tasks is empty: give at least one Gymnasium id")
    keys: dict[str, str] = {}
    for id in tasks:
        if not isinstance(id, str) or not id:
            raise BadArgument(f"tasks holds {id!r}: give Gymnasium ids, which are texts")
        if key_of(id) in keys:
            raise BadArgument(f"tasks names {id!r} twice: name each task once")
        keys[key_of(id)] = id
    return tuple(tasks)


def check_options(options: TaskOptions | None, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Check what is said about single tasks.

    Args:
        options: Options by task.
        ids: The tasks that are played.

    Returns:
        A copy, with an entry for each task.

    Raises:
        UnknownName: A task is not played, or an option does not exist.
    """
    given = {} if options is None else options
    if not isinstance(given, Mapping) or not all(isinstance(o, Mapping) for o in given.values()):
        raise BadArgument(
            f"task_options is {options!r:.80}: give options by task, such as "
            "{'Pendulum-v1': {'gamma': 0.9}}"
        )
    for id, own in given.items():
        require_played(id, ids)
        for name in own:
            if name not in OPTIONS:
                raise UnknownName(suggest(str(name), OPTIONS, kind="option of a task"))
    return {id: dict(given.get(id, {})) for id in ids}


def require_played(id: str, ids: Sequence[str]) -> None:
    """Refuse a task that is not among those that are played.

    Raises:
        UnknownName: It is not; the message lists those that are.
    """
    if id not in ids:
        raise UnknownName(suggest(str(id), ids, kind="task to be played", limit=None))


def check_sharing(name: str, value: Any) -> None:
    """Refuse what ``encoders`` or ``heads`` cannot be.

    Raises:
        BadArgument: It is neither ``"own"`` nor ``"shared"``.
    """
    if value not in get_args(Sharing):
        raise BadArgument(f"{name} is {value!r}: choose one of {', '.join(get_args(Sharing))}")


def look_at(id: str, *, gamma: float, options: Mapping[str, Any]) -> PolicyTask:
    """Describe a task as a policy sees it, from an environment of it.

    Args:
        id: Gymnasium id, or ``module:id``.
        gamma: Discount factor, unless the options have one.
        options: Its options; ``source`` is ignored.

    Raises:
        UnknownName: Gymnasium has no such id.
        SpaceMismatch: A space is of a kind that policies cannot read or act in.
        BadArgument: An option is outside its range.
    """
    own = {name: value for name, value in options.items() if name != "source"}
    venv = make_vec(id, 1)
    try:
        task = task_of(id, venv, **{"gamma": gamma, **own})
    finally:
        venv.close()
    if "log_std" in own and not task.continuous:
        raise BadArgument(
            f"log_std of {id} is {own['log_std']!r}, but its actions are {task.action_space}: only "
            "continuous ones have a standard deviation; leave it out"
        )
    return task


def shared(
    task: PolicyTask,
    others: Sequence[PolicyTask],
    options: Mapping[str, Any],
    *,
    encoders: Sharing,
    heads: Sharing,
) -> PolicyTask:
    """Let a task share the encoder and the head of the first other task whose spaces are equal.

    Args:
        task: The task.
        others: Tasks that come before it.
        options: Its options; what they name stays.
        encoders: Whether encoders are shared.
        heads: Whether heads are.
    """
    chosen = {}
    for part, space, how in (
        ("encoder", "observation_space", encoders),
        ("head", "action_space", heads),
    ):
        same = [one for one in others if getattr(one, space) == getattr(task, space)]
        if how == "shared" and same and part not in options:
            chosen[part] = getattr(same[0], part)
    return task.but(**chosen)


def key_of(id: str) -> str:
    """What tells tasks apart: the id without the module that registers it."""
    return module_name(id.rpartition(":")[2])
