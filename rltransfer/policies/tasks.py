"""A task as a multi-task policy sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from torch import nn

from rltransfer.errors import BadArgument, SpaceMismatch, UnknownName, suggest

# Numbers are packed as float32, which holds whole numbers up to this exactly.
EXACT = 2**24
# What torch's containers of modules call something else.
TAKEN = frozenset({*dir(nn.ModuleDict()), *dir(nn.ParameterDict())})


@dataclass(frozen=True, kw_only=True)
class PolicyTask:
    """One task of a multi-task policy.

    Attributes:
        id: Gymnasium id.
        observation_space: A Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these.
        action_space: A Box with finite bounds, Discrete, MultiDiscrete or MultiBinary.
        encoder: Name of the encoder that reads its observations; tasks of equal observation spaces
            may share one. Empty for one of its own.
        head: Name of the actor's head; tasks of equal action spaces may share one. Empty for one
            of its own.
        gamma: Discount factor of its returns, in (0, 1].
        noise: Correlation of the exploration noise of one step with that of the step before, in
            [0, 1); 0 is white noise. For continuous actions alone; see
            :class:`rltransfer.policies.noise.CorrelatedNoise`.
        log_std: Logarithm of the standard deviation that continuous actions start with.
        masked: Whether observations bring a mask of valid actions (Huang & Ontanon 2022).

    Raises:
        BadArgument: A field is outside its range, or does not fit the space.
        SpaceMismatch: A space is of a kind that policies cannot read or act in.
    """

    id: str
    observation_space: gym.Space
    action_space: gym.Space
    encoder: str = ""
    head: str = ""
    gamma: float = 0.99
    noise: float = 0.0
    log_std: float = 0.0
    masked: bool = False

    def __post_init__(self) -> None:
        if not self.id or not isinstance(self.id, str):
            raise BadArgument(f"the task's id is {self.id!r}: give a Gymnasium id")
        for part in ("encoder", "head"):
            name = getattr(self, part) or self.key
            if not isinstance(name, str):
                raise BadArgument(f"{part} of {self.id} is {name!r}: give its name, a text")
            object.__setattr__(self, part, module_name(name))
        for name in (self.key, self.encoder, self.head):
            if name in TAKEN:
                raise BadArgument(
                    f"{self.id} has a part called {name!r}, a name that torch's modules have "
                    "themselves: give its encoder or head another, or register it under another id"
                )
        _check_observations(self.id, self.observation_space)
        _check_actions(self.id, self.action_space)
        _check_numbers(self)

    @property
    def key(self) -> str:
        """Its id as the name of a module and of layer groups, which may hold no dot."""
        return module_name(self.id.rpartition(":")[2])

    @property
    def continuous(self) -> bool:
        """Whether its actions are continuous."""
        return isinstance(self.action_space, spaces.Box)

    def but(self, **changes: Any) -> PolicyTask:
        """Return this task with some fields changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, with live spaces."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def module_name(name: str) -> str:
    """Make a name fit for a module of torch: dots separate modules there."""
    return name.replace(".", "_")


def policy_tasks(given: Sequence[PolicyTask | Mapping[str, Any]]) -> tuple[PolicyTask, ...]:
    """Check the tasks of one policy together.

    Args:
        given: The tasks, or their fields.

    Raises:
        BadArgument: There is none, or two have the same id.
        SpaceMismatch: Tasks share an encoder or a head, but differ in the space.
    """
    tasks = tuple(one if isinstance(one, PolicyTask) else PolicyTask(**one) for one in given)
    if not tasks:
        raise BadArgument("a multi-task policy needs at least one task: give Gymnasium ids")
    seen: dict[str, str] = {}
    for task in tasks:
        if task.key in seen:
            raise BadArgument(
                f"two tasks are called {task.id!r} ({seen[task.key]!r} came first): each task of a "
                "policy needs its own id; drop one, or register a variant under another id"
            )
        seen[task.key] = task.id
    for field, space in (("encoder", "observation_space"), ("head", "action_space")):
        _check_shared(tasks, field, space)
    return tasks


def index_of(tasks: Sequence[PolicyTask], id: str) -> int:
    """Find a task by its id.

    Raises:
        UnknownName: The policy has no such task; the message lists those that it has.
    """
    ids = [task.id for task in tasks]
    if id not in ids:
        raise UnknownName(suggest(str(id), ids, kind="task of this policy", limit=None))
    return ids.index(id)


def _check_shared(tasks: Sequence[PolicyTask], field: str, space: str) -> None:
    first: dict[str, PolicyTask] = {}
    for task in tasks:
        other = first.setdefault(getattr(task, field), task)
        if getattr(task, space) != getattr(other, space):
            raise SpaceMismatch(
                f"{task.id!r} and {other.id!r} share the {field} {getattr(task, field)!r}, but "
                f"have {getattr(task, space)} and {getattr(other, space)}: give each its own"
            )


def _check_observations(id: str, space: Any) -> None:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else (space,)
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    odd = [part for part in parts if not isinstance(part, kinds)]
    if odd or not parts:
        raise SpaceMismatch(
            f"{id} observes {odd[0] if odd else space}, which policies cannot read: wrap it, so "
            "that it observes a Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these"
        )
    _check_exact(id, parts)


def _check_exact(id: str, parts: Any) -> None:
    for part in parts:
        counts = getattr(part, "nvec", getattr(part, "n", 0))
        if np.max(counts) > EXACT:
            raise SpaceMismatch(f"{id} has {part}: at most {EXACT:,} different values are exact")


def _check_actions(id: str, space: Any) -> None:
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    flat = not isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary) or len(space.shape) == 1
    finite = not isinstance(space, spaces.Box) or space.is_bounded("both")
    if not isinstance(space, kinds) or not flat or not finite:
        raise SpaceMismatch(
            f"{id} acts in {space}: expected a Box with finite bounds, Discrete, or a flat "
            "MultiDiscrete or MultiBinary; wrap it, for instance with RescaleAction"
        )
    _check_exact(id, (space,))


def _check_numbers(task: PolicyTask) -> None:
    for name in ("gamma", "noise", "log_std"):
        value = getattr(task, name)
        if not isinstance(value, int | float | np.number) or isinstance(value, bool):
            raise BadArgument(f"{name} of {task.id} is {value!r}: expected a number")
    ranges = {
        "gamma": (0 < task.gamma <= 1, "in (0, 1]"),
        "noise": (0 <= task.noise < 1, "in [0, 1)"),
        "log_std": (-20 <= task.log_std <= 5, "from -20 to 5"),
    }
    for name, (fits, expected) in ranges.items():
        if not fits:
            raise BadArgument(
                f"{name} of {task.id} is {getattr(task, name)!r}: expected a number {expected}"
            )
    if task.noise and not task.continuous:
        raise BadArgument(
            f"noise of {task.id} is {task.noise:g}, but its actions are {task.action_space}: "
            "correlated noise explores continuous actions alone; leave it at 0"
        )
    if task.masked and isinstance(task.action_space, spaces.Box):
        raise BadArgument(
            f"{task.id} has masks for continuous actions: masks are for discrete ones"
        )
