"""Names of the tasks of an agent, and what is said where one of them has to be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rltransfer.agents import classes as named
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName, printable, suggest
from rltransfer.policies.tasks import PolicyTask

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent

#: Between the name or path of an agent and one of its tasks.
SEPARATOR = "#"
_LISTED = 10


def is_multitask(agent: Agent) -> bool:
    """Whether the agent has a policy of several tasks, be it one task alone."""
    return agent.policy in (named.MULTITASK, named.MULTITASK_LSTM)


def described(agent: Agent) -> tuple[PolicyTask, ...]:
    """Tasks of a multi-task agent, as its policy sees them.

    Raises:
        BadCheckpoint: It does not say what they are.
    """
    tasks = named.decode(agent.policy_kwargs.get("tasks", []), {})
    if (
        not isinstance(tasks, list | tuple)
        or not tasks
        or not all(isinstance(task, PolicyTask) for task in tasks)
    ):
        raise BadCheckpoint(f"agent {agent.card.name!r}: its policy_kwargs name no tasks")
    return tuple(tasks)


def ids(agent: Agent) -> tuple[str, ...]:
    """Gymnasium ids of the agent's tasks."""
    if not is_multitask(agent):
        return (agent.card.task,)
    return tuple(task.id for task in described(agent))


def full_name(agent: Agent, id: str) -> str:
    """How one task of an agent is given on the command line."""
    return f"{agent.card.name}{SEPARATOR}{id}"


def known(agent: Agent, id: str) -> str:
    """Find a task of an agent; the module that registers it may be left out.

    Returns:
        Its id as the agent has it.

    Raises:
        UnknownName: The agent has no such task.
    """
    found = ids(agent)
    for known_id in found:
        if id in (known_id, known_id.rpartition(":")[2]):
            return known_id
    kind = f"task of agent {agent.card.name!r}"
    raise UnknownName(printable(suggest(str(id), found, kind=kind, limit=None)))


def of_one_task(agent: Agent, what: str) -> Agent:
    """Return an agent, if it is one of a single task.

    Args:
        agent: An agent.
        what: What needs it, such as ``"adapt"``.

    Raises:
        BadArgument: It has a multi-task policy.
    """
    if not is_multitask(agent):
        return agent
    found = ids(agent)
    names = ", ".join(repr(full_name(agent, id)) for id in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise BadArgument(
        printable(
            f"{what} takes an agent of one task, and {agent.card.name!r} has a policy of "
            f"{len(found)}: give one of its tasks, which are {names}{more} (with the path of the "
            f"agent before the {SEPARATOR}), or agent.for_task({found[0]!r})"
        )
    )
