"""How the tasks of one policy are weighed against each other while it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from rltransfer.errors import BadArgument, UnknownName, suggest

Gradient = Literal["mean", "pcgrad"]


@dataclass(frozen=True, kw_only=True)
class MultiTaskOptions:
    """Options of a multi-task update.

    Attributes:
        normalize_advantage: Standardize advantages over each task's rows of a rollout. Without it
            the task with the largest returns owns the gradient.
        popart: Learn values in normalized units (PopArt; Hessel et al. 2018), with statistics for
            each task. Without it the critic's gradient too belongs to the task with the largest
            returns.
        popart_beta: Step of those statistics at each update, within [0, 1]. Updates are few here,
            and the first ones count more (``1 / k`` in the k-th).
        gradient: ``"mean"`` over rows, or ``"pcgrad"`` (Yu et al. 2020): of tasks whose gradients
            of the shared layers conflict, each loses the part that goes against the other. Costs
            a backward pass for each task.
        seed: Of the order in which PCGrad takes the tasks.

    Raises:
        BadArgument: ``popart_beta`` or ``seed`` is outside its range, or a switch is none.
        UnknownName: There is no such ``gradient``.
    """

    normalize_advantage: bool = True
    popart: bool = True
    popart_beta: float = 0.05
    gradient: Gradient = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("normalize_advantage", "popart"):
            if not isinstance(getattr(self, name), bool):
                raise BadArgument(f"{name} is {getattr(self, name)!r}: give True or False")
        if type(self.seed) is not int or self.seed < 0:
            raise BadArgument(f"seed is {self.seed!r}: give a whole number >= 0")
        if not isinstance(self.popart_beta, int | float) or not 0 <= self.popart_beta <= 1:
            raise BadArgument(f"popart_beta is {self.popart_beta!r}: give a step within [0, 1]")
        if self.gradient not in get_args(Gradient):
            raise UnknownName(suggest(str(self.gradient), get_args(Gradient), kind="gradient"))
