"""Starting from an agent: with the tasks that it knows, and with new ones."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from rltransfer.agents import Agent, load
from rltransfer.errors import BadArgument, SpaceMismatch, UnknownName
from rltransfer.multitask.architecture import Embed, mission_vectors
from rltransfer.multitask.tasks import Sharing, key_of, look_at, shared
from rltransfer.policies.tasks import PolicyTask, policy_tasks


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """An agent to begin with, which knows all tasks that are to be played.

    Attributes:
        agent: The agent, with new tasks added.
        tasks: Its tasks.
        known: Ids of the tasks that it knew before.
        sources: Name of the agent that gave a new task its encoder and heads, by id.
    """

    agent: Agent
    tasks: tuple[PolicyTask, ...]
    known: tuple[str, ...]
    sources: Mapping[str, str]


def as_start(start: Agent | str | Path) -> Agent:
    """Load what training starts from, and make a single-task agent one of many tasks.

    Raises:
        UnknownName: No agent has that name.
        BadArgument: It is no agent, or one that cannot be turned into a multi-task agent.
    """
    agent = start if isinstance(start, Agent) else load(start)
    return agent if agent.multitask else agent.as_multitask()


def tasks_of(agent: Agent) -> tuple[PolicyTask, ...]:
    """Tasks of a multi-task agent."""
    return policy_tasks(agent.live_policy_kwargs()["tasks"])


def extended(
    agent: Agent,
    ids: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    *,
    gamma: float | None,
    encoders: Sharing,
    heads: Sharing,
    missions: Mapping[str, str] | None,
    embed: Embed | None,
    seed: int,
) -> Start:
    """Give an agent the tasks that are to be played and that it does not know yet.

    Args:
        agent: A multi-task agent.
        ids: Tasks that are to be played.
        options: What is said about each.
        gamma: Discount factor of the tasks; None for what the agent or a source has, or else 0.99.
        encoders: Whether new tasks share encoders with tasks of equal observation spaces.
        heads: Whether new tasks share heads with tasks of equal action spaces.
        missions: What to do in new tasks, for an agent that is conditioned on sentences.
        embed: What embeds missions.
        seed: Seed of new encoders and heads.

    Raises:
        BadArgument: What is said about a task that the agent knows would need new weights.
        UnknownName: A mission is of a task that is not new.
        SpaceMismatch: A task does not fit what it is to share.
    """
    known = tasks_of(agent)
    keys = {task.key: task for task in known}
    new = [id for id in ids if key_of(id) not in keys]
    vectors: Mapping[str, Any] = {}
    if new and agent.policy_kwargs.get("conditioning") == "sentence":
        vectors = dict(zip(new, mission_vectors(new, missions, embed), strict=True))
    elif missions is not None or embed is not None:
        raise BadArgument(
            "missions and embed are for new tasks of a start with conditioning='sentence', and "
            f"{agent.card.name} with {', '.join(ids)} has none: leave them out"
        )
    sources = {id: _source(options[id]) for id in new}
    for id in new:
        given = {"gamma": gamma, **options[id]}
        task = look_at(id, gamma=0.99 if gamma is None else gamma, options=options[id])
        task = shared(task, tasks_of(agent), options[id], encoders=encoders, heads=heads)
        agent = agent.add_task(
            id,
            source=sources[id],
            seed=seed,
            vector=vectors.get(id),
            gamma=given["gamma"],
            noise=task.noise,
            log_std=given.get("log_std"),
            **_spaces_and_parts(task, options[id]),
        )
    changed = {
        key_of(id): _changed(agent, keys[key_of(id)], id, gamma, options[id])
        for id in ids
        if id not in new
    }
    return Start(
        agent=agent,
        tasks=tuple(changed.get(task.key, task) for task in tasks_of(agent)),
        known=tuple(task.id for task in known),
        sources={id: one.card.name for id, one in sources.items() if one is not None},
    )


def require_same(agent: Agent, task: PolicyTask, now: PolicyTask) -> None:
    """Refuse a task whose environment is no longer what an agent was trained on.

    Bounds of observations may differ, as nothing depends on them.

    Args:
        agent: The agent.
        task: The task as it knows it.
        now: The task as it is.

    Raises:
        SpaceMismatch: Spaces differ, or one has action masks and the other none.
    """
    alike = _alike(task.observation_space, now.observation_space)
    if alike and task.action_space == now.action_space and task.masked == now.masked:
        return
    raise SpaceMismatch(
        f"start ({agent.card.name}) knows {task.id} with {_spaces(task)}, and its environment has "
        f"{_spaces(now)}: register the new one under another id, or begin with "
        f"agent.without({task.id!r})"
    )


def require_idle(agent: Agent, played: Collection[str]) -> None:
    """Refuse an agent with a task that is not played and cannot be evaluated here.

    Args:
        agent: A multi-task agent. Modules that its tasks name are not imported.
        played: Its tasks that are played.

    Raises:
        UnknownName: Gymnasium does not know a task; the message names the cure.
        SpaceMismatch: A task has other spaces now.
    """
    for task in tasks_of(agent):
        if task.id in played:
            continue
        module, _, name = task.id.rpartition(":")
        if name not in gym.registry or (module and module not in sys.modules):
            raise UnknownName(
                f"start ({agent.card.name}) knows the task {task.id!r}, and Gymnasium does not: "
                "import the module that registers it, or begin with "
                f"agent.without({task.id!r})"
            )
        require_same(agent, task, look_at(task.id, gamma=task.gamma, options={}))


def _changed(
    agent: Agent, task: PolicyTask, id: str, gamma: float | None, options: Mapping[str, Any]
) -> PolicyTask:
    """A task that the agent knows, with other numbers."""
    require_same(agent, task, look_at(id, gamma=task.gamma, options={}))
    wrong = [name for name in options if name not in ("gamma", "noise")]
    if wrong:
        raise BadArgument(
            f"task_options of {task.id} have {wrong[0]}, but start ({agent.card.name}) knows that "
            "task: it keeps its encoder and head; gamma and noise can change"
        )
    return task.but(**(({} if gamma is None else {"gamma": gamma}) | dict(options)))


def _source(options: Mapping[str, Any]) -> Agent | None:
    source = options.get("source")
    return source if source is None or isinstance(source, Agent) else load(source)


def _spaces_and_parts(task: PolicyTask, options: Mapping[str, Any]) -> dict[str, Any]:
    """Spaces of a new task; and encoder and head, where they are not its own."""
    fields = ("observation_space", "action_space", "masked")
    parts = {name: getattr(task, name) for name in ("encoder", "head")}
    named = {name: v for name, v in parts.items() if name in options or v != task.key}
    return {**{name: getattr(task, name) for name in fields}, **named}


def _alike(one: gym.Space, other: gym.Space) -> bool:
    if isinstance(one, spaces.Dict) and isinstance(other, spaces.Dict):
        parts = one.spaces.keys() == other.spaces.keys()
        return parts and all(_alike(one[key], other[key]) for key in one.spaces)
    if isinstance(one, spaces.Box) and isinstance(other, spaces.Box):
        return one.shape == other.shape and is_image_space(one) == is_image_space(other)
    return one == other


def _spaces(task: PolicyTask) -> str:
    masks = " with masks" if task.masked else ""
    return f"observations {task.observation_space} and actions {task.action_space}{masks}"
