"""What rltransfer knows about a task, and about a pair of tasks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from rltransfer.errors import BadArgument

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shift = Literal["dynamics", "observation", "action", "reward", "layout"]
Expect = Literal["help", "hurt"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What rltransfer knows about a Gymnasium id.

    Attributes:
        id: The Gymnasium id.
        family: Tasks of one family share a simulator, such as ``"cartpole"``.
        summary: One line for lists.
        base: Id of the task that this one varies; None for a task of its own.
        params: What was varied, JSON-able.
        random: Mean return of uniformly random actions.
        reference: Mean return of an agent trained from scratch, above ``random``; the 1 of
            :meth:`normalize`.
        scores_from: Commands and versions that measured ``random`` and ``reference``.
        thresholds: Normalized scores in (0, 1] whose time to reach is reported.
        extra: The extra of rltransfer that the environment needs; None if none.
        differs_by: Step at which a trajectory differs from the base's at the latest, given the same
            seed and actions; 0 is the observation of ``reset``.
        mission: What to do, in words; for policies conditioned on a sentence. Empty if there is no
            such sentence, or if it changes from episode to episode.

    Raises:
        BadArgument: A field is outside its range.
    """

    id: str
    family: str = ""
    summary: str = ""
    base: str | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    random: float | None = None
    reference: float | None = None
    scores_from: str = ""
    thresholds: tuple[float, ...] = (0.25, 0.5, 0.75)
    extra: str | None = None
    differs_by: int = 1
    mission: str = ""

    def __post_init__(self) -> None:
        _require_name("task id", self.id)
        for name in ("random", "reference"):
            score = getattr(self, name)
            if score is not None and not math.isfinite(score):
                raise BadArgument(f"{name} of {self.id} is {score!r}; give a finite return or None")
        low, high = self.random, self.reference
        if low is not None and high is not None and low >= high:
            raise BadArgument(
                f"random of {self.id} is {low} and reference {high}; the reference is the higher"
                " one, the return of a good agent"
            )
        if not self.thresholds or not all(0 < t <= 1 for t in self.thresholds):
            raise BadArgument(
                f"thresholds of {self.id} are {self.thresholds!r}; give normalized scores in (0, 1]"
            )
        if self.differs_by < 0:
            raise BadArgument(f"differs_by of {self.id} is {self.differs_by}; give a step >= 0")
        _require_json(self.id, self.params)

    def normalize(self, score: float | NDArray[np.floating]) -> float | NDArray[np.floating]:
        """Map returns so that random actions score 0 and the reference 1.

        Args:
            score: Return or returns, in units of the task.

        Returns:
            ``(score - random) / (reference - random)``, same shape.

        Raises:
            BadArgument: The random or the reference score is not known.
        """
        if self.random is None or self.reference is None:
            missing = "random" if self.random is None else "reference"
            raise BadArgument(
                f"the {missing} score of {self.id} is not known; measure it, and put"
                f" {missing}=... into its register_task"
            )
        return (score - self.random) / (self.reference - self.random)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A source task, a target task, and what to expect of transfer between them.

    Attributes:
        name: Name to type, such as ``"cartpole-long"``.
        source: Task id that the agent was trained on.
        target: Task id to transfer to.
        shift: What differs.
        expect: Whether transfer should beat scratch or not; ``"hurt"`` marks a negative control.
        why: One line: what changes, and why transfer should help or hurt.
        steps: Target budget, in environment steps, within which scratch is on its way, not done.
        agent: Zoo agent trained on the source; None if the zoo has none.

    Raises:
        BadArgument: A field is outside its range.
    """

    name: str
    source: str
    target: str
    shift: Shift
    expect: Expect
    why: str
    steps: int
    agent: str | None = None

    def __post_init__(self) -> None:
        _require_name("pair name", self.name)
        for name, kinds in (("shift", get_args(Shift)), ("expect", get_args(Expect))):
            if getattr(self, name) not in kinds:
                raise BadArgument(
                    f"{name} of pair {self.name} is {getattr(self, name)!r};"
                    f" choose one of {', '.join(kinds)}"
                )
        if not self.why.strip() or "\n" in self.why:
            raise BadArgument(f"why of pair {self.name} is {self.why!r}; say it in one line")
        if self.steps <= 0:
            raise BadArgument(f"steps of pair {self.name} is {self.steps}; give a number > 0")


def _require_name(what: str, name: str) -> None:
    if not name or name != name.strip() or any(c.isspace() for c in name):
        raise BadArgument(f"{what} is {name!r}; give a name without spaces")


def _require_json(id: str, params: Mapping[str, object]) -> None:
    try:
        json.dumps(dict(params), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadArgument(
            f"params of {id} are not JSON ({error}); give numbers, strings, lists and dicts"
        ) from error
