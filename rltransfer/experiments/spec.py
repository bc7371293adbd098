"""What decides a run, as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from stable_baselines3.common.utils import LinearSchedule

from rltransfer import registry
from rltransfer.agents import Agent, hyperparameters
from rltransfer.agents.numbers import check_steps
from rltransfer.errors import BadArgument
from rltransfer.evaluate import HELD_OUT_SEED
from rltransfer.recipe import Recipe
from rltransfer.vec import Vec, check_vec

RUN_VERSION = 1
"""Goes up when the same spec would give other numbers, so that old results are not reused."""
_NO_NUMBERS = ("source", "label", "vec")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that decides what a run does; equal specs give equal curves on one machine.

    All fields are JSON data, so a spec is the same after it was stored. :meth:`of` fills in the
    hashes.

    Attributes:
        source: Name of the source agent.
        source_hash: Hash of all that it is.
        target: Gymnasium id of the target.
        target_hash: Hash of Gymnasium's spec of the target; empty if it cannot be written as data.
        recipe: The recipe as data; see ``Recipe.to_dict``.
        label: What the recipe is called in tables.
        steps: Budget of environment steps on the target.
        seed: Seed of weights, actions and training environments.
        points: Evaluations after the one at step 0.
        episodes: Held-out episodes of each evaluation.
        max_steps: Held-out episodes end after so many steps at the latest; None leaves that to the
            task's own time limit.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        vec: How the training environments are stepped; see :func:`rltransfer.vec.make_vec`.
        hyperparameters: Changes to the source's hyperparameters.
        train: False only evaluates the agent before its first update: the zero-shot control.
        checkpoint_every: Environment steps after which training is cut: the environments and every
            random stream start afresh from the seed and the number of the part, so that a run
            which is resumed there gives the same numbers as one that was never interrupted.

    Raises:
        BadArgument: A field is outside its range, or cannot be stored as data.
    """

    source: str
    source_hash: str
    target: str
    target_hash: str = ""
    recipe: Mapping[str, Any]
    label: str
    steps: int
    seed: int
    points: int = 20
    episodes: int = 20
    max_steps: int | None = None
    device: str = "auto"
    vec: Vec = "auto"
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    train: bool = True
    checkpoint_every: int = 250_000

    @classmethod
    def of(cls, agent: Agent, target: str, recipe: Recipe, **settings: Any) -> RunSpec:
        """Describe a run of an agent on a target.

        Args:
            agent: The source.
            target: Gymnasium id or ``module:Id``.
            recipe: The recipe.
            **settings: The other fields.

        Raises:
            BadArgument: A hyperparameter is outside its range; and as for the class.
            UnknownName: The target, or a hyperparameter, does not exist.
        """
        spec = cls(
            source=agent.card.name,
            source_hash=source_hash(agent),
            target=target,
            target_hash=target_hash(target),
            recipe=recipe.to_dict(),
            **settings,
        )
        hyperparameters.check({**agent.hyperparameters, **spec.hyperparameters})
        return spec

    def __post_init__(self) -> None:
        steps = _item(self.steps)
        check_steps(steps)
        object.__setattr__(self, "steps", int(steps))
        for name in ("seed", "points", "episodes", "max_steps", "checkpoint_every"):
            object.__setattr__(self, name, _item(getattr(self, name)))
        check_seed(self.seed)
        check_whole("points", self.points, 1)
        check_whole("episodes", self.episodes, 1)
        check_whole("checkpoint_every", self.checkpoint_every, 1)
        check_vec(self.vec)
        if self.max_steps is not None:
            check_whole("max_steps", self.max_steps, 1)
        for name in ("recipe", "hyperparameters"):
            object.__setattr__(self, name, _as_data(name, getattr(self, name)))

    def __hash__(self) -> int:
        return hash(json.dumps(asdict(self), sort_keys=True))

    @property
    def id(self) -> str:
        """First 20 hex digits of a SHA-256 over all that changes the numbers of the run.

        Names do not, and neither does how the environments are stepped.
        """
        data = {name: value for name, value in asdict(self).items() if name not in _NO_NUMBERS}
        text = json.dumps({"version": RUN_VERSION, **data}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``.

    Raises:
        BadArgument: It is not.
    """
    if type(value) is not int or value < least:
        raise BadArgument(f"{name} is {value!r}: expected a whole number >= {least}")


def check_seed(seed: int) -> None:
    """Refuse a training seed that is not below the seeds of the held-out episodes.

    Raises:
        BadArgument: It is not.
    """
    check_whole("seed", seed, 0)
    if seed >= HELD_OUT_SEED:
        raise BadArgument(
            f"seed is {seed}: expected one below {HELD_OUT_SEED}, where the seeds of the held-out "
            "evaluation episodes begin"
        )


def source_hash(agent: Agent) -> str:
    """First 16 hex digits of the agent's SHA-256."""
    return agent.sha256[:16]


def target_hash(target: str) -> str:
    """First 16 hex digits of a SHA-256 over Gymnasium's spec of a task.

    It notices other arguments, wrappers and time limits, not other code behind the same name.

    Returns:
        The digits; empty if the spec holds something that is not data, such as a function.
    """
    try:
        text = registry.spec(target).to_json()
    except (ValueError, TypeError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _item(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _as_data(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_plain))
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} cannot be stored as data: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if type(value) is LinearSchedule:
        return {key: getattr(value, key) for key in ("start", "end", "end_fraction")}
    if callable(value):
        raise TypeError(
            "a function: give a number, or stable_baselines3.common.utils.LinearSchedule"
        )
    raise TypeError(f"{value!r:.60} is a {type(value).__name__}, not JSON data")
