"""What a worker must know to execute a run, as JSON data: it shares nothing else with its sweep.

A request is an order to import what it names, as a command line is. So are the tasks in it: run no
sweep in a folder that somebody else can write.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument
from rltransfer.experiments.jobs import Job
from rltransfer.experiments.spec import RunSpec, source_hash
from rltransfer.registry import Task, register_task, spec, tasks


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run to be executed.

    Attributes:
        name: Its short name, for people.
        spec: The run.
        agent: Hash of the source agent.
        events: Folder of its TensorBoard events, relative to that of the store; empty for none.
        env: Gymnasium's spec of the target as data; None if importing its module is enough.
        task: What rltransfer knows of the target beyond that, as data; None if nothing.
        classes: Classes of the user that the agent needs, as ``"module:name"`` by their key.
    """

    name: str
    spec: RunSpec
    agent: str
    events: str = ""
    env: Mapping[str, Any] | None = None
    task: Mapping[str, Any] | None = None
    classes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, agent: Agent, events: str) -> Request:
        """Describe a run with all that a worker must know.

        Raises:
            BadArgument: Something cannot be found by another process.
        """
        target = spec(job.spec.target)
        known = tasks().get(target.id)
        imported = ":" in job.spec.target  # Its module registers the rest.
        return cls(
            name=job.name,
            spec=job.spec,
            agent=source_hash(agent),
            events=events,
            env=None if imported else _env_data(target, job.name),
            task=None if imported or known is None else json.loads(json.dumps(_task_data(known))),
            classes={key: _path(kind, job.name) for key, kind in agent.classes.items()},
        )

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Request:
        """Build it from :meth:`to_data`."""
        return cls(**{**data, "spec": RunSpec(**data["spec"])})

    def register(self) -> None:
        """Register the target in this process, if nothing that it imports does so.

        Raises:
            UnknownName: Its module does not exist.
        """
        if ":" in self.spec.target:
            spec(self.spec.target)
        elif self.env is not None:
            found = EnvSpec.from_json(json.dumps(self.env))
            gym.registry[found.id] = found
        if self.task is not None and self.task["id"] not in tasks():
            register_task(**{**self.task, "thresholds": tuple(self.task["thresholds"])})

    def live_classes(self) -> dict[str, type]:
        """Import the classes of the user.

        Raises:
            BadArgument: One cannot be imported.
        """
        return {key: _imported(path) for key, path in self.classes.items()}


def _task_data(task: Task) -> dict[str, Any]:
    data = {part.name: getattr(task, part.name) for part in fields(task)}
    return {**data, "params": dict(task.params)}


def _env_data(target: EnvSpec, name: str) -> dict[str, Any]:
    """A task as data, with the paths of classes and functions in place of themselves."""
    entries = {
        part: _path(entry, name)
        for part in ("entry_point", "vector_entry_point")
        if callable(entry := getattr(target, part))
    }
    try:
        return json.loads(replace(target, **entries).to_json())
    except (ValueError, TypeError) as error:
        raise BadArgument(
            f"{name} cannot be sent to a worker process ({error!s:.200}): register {target.id} "
            "with arguments that are JSON data, or use one process (--engine here)"
        ) from error


def _path(made: Any, name: str) -> str:
    """Path under which another process can import a class or function.

    Raises:
        BadArgument: There is none.
    """
    module, attribute = getattr(made, "__module__", ""), getattr(made, "__qualname__", "<none>")
    if module in ("", "__main__") or not attribute.isidentifier():
        raise BadArgument(
            f"{name} cannot be sent to a worker process ({made!r:.80} cannot be imported): put it "
            "into a module and register tasks with an entry point such as 'my_tasks:Pole', or use "
            "one process (--engine here)"
        )
    return f"{module}:{attribute}"


def _imported(path: str) -> type:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BadArgument(f"a worker process cannot import {path} ({error})") from error
    if not isinstance(found, type):
        raise BadArgument(f"{path} is not a class")
    return found
