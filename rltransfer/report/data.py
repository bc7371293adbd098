"""The plain data that reports are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument
from rltransfer.metrics import check_curve, on_grid


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Evaluations of one training run.

    Attributes:
        seed: Training seed; runs of different arms with the same seed are compared.
        steps: Environment steps on the target, shape ``(n,)``, increasing from 0.
        scores: Mean score of the deterministic policy, shape ``(n,)``.
        stochastic: The same for the stochastic policy that gathers experience.
        raw: Mean return of the deterministic policy in the units of the task, shape ``(n,)``.
    """

    seed: int
    steps: np.ndarray
    scores: np.ndarray
    stochastic: np.ndarray | None = None
    raw: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("scores", "stochastic", "raw"):
            if (values := getattr(self, name)) is not None:
                if np.ndim(values) != 1:
                    raise BadArgument(
                        f"{name} of seed {self.seed} have shape {np.shape(values)}; expected (n,)"
                    )
                steps, values = check_curve(self.steps, values)
                object.__setattr__(self, name, _frozen(values))
                object.__setattr__(self, "steps", _frozen(steps))

    def covers(self, budget: float) -> bool:
        """Whether it was evaluated up to the budget, or to less than one interval before it."""
        last = float(self.steps[-1])
        return last >= budget or last + float(np.diff(self.steps, prepend=0).max()) > budget


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """All runs of one recipe.

    Attributes:
        recipe: Its name; ``"scratch"`` is the control.
        runs: One per seed, kept in ascending order of the seed.
    """

    recipe: str
    runs: Sequence[Curve]

    def __post_init__(self) -> None:
        if not self.runs or len(set(self.seeds)) < len(self.runs):
            raise BadArgument(
                f"arm {self.recipe!r} has seeds {list(self.seeds)}; expected at least one run, and "
                "each seed once"
            )
        object.__setattr__(self, "runs", tuple(sorted(self.runs, key=lambda run: run.seed)))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in the order of the runs."""
        return tuple(run.seed for run in self.runs)

    def on_grid(self, grid: ArrayLike) -> np.ndarray:
        """Scores of every run at the same steps, shape ``(runs, m)``; the last one is held flat."""
        return np.stack([on_grid(run.steps, run.scores, grid, hold=True) for run in self.runs])

    def only(self, seeds: Sequence[int]) -> Arm:
        """The same arm with the runs of some seeds."""
        return replace(self, runs=[run for run in self.runs if run.seed in seeds])


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Recipes against training from scratch, on one target, at equal steps.

    Attributes:
        label: Short name, such as that of the pair.
        source: The pretrained agent, or its task.
        target: Task id.
        budget: Environment steps on the target that every run had. A run may have been evaluated
            past it, which is not used, or stop short of it by less than one evaluation interval,
            over which its last score is held flat.
        source_steps: Environment steps spent on the source agent.
        arms: Recipe name to its runs; must hold ``"scratch"``.
        thresholds: Fractions of the way from random to reference score, ascending, in (0, 1].
        normalized: Whether scores are 0 for random and 1 for reference play. If not, they are
            returns, and metrics that need a scale are left out.
        random: Return of random play, in the units of the task.
        reference: Return of reference play.
        expect: What transfer should do: ``"hurt"`` marks a negative control.
        notes: Recipe name (or another heading) to one line, such as what ``auto`` chose and why.
    """

    label: str
    source: str
    target: str
    budget: int
    source_steps: int
    arms: Mapping[str, Arm]
    thresholds: tuple[float, ...] = (0.25, 0.5, 0.75)
    normalized: bool = True
    random: float | None = None
    reference: float | None = None
    expect: Literal["help", "hurt"] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "scratch" not in self.arms:
            raise BadArgument(
                f"{self.label!r} has arms {sorted(self.arms)}; add one named 'scratch'"
            )
        if self.normalized and self.random is not None and self.random == self.reference:
            raise BadArgument(
                f"{self.label!r} has {self.random} as both random and reference score; measure both"
            )
        if self.budget <= 0 or self.source_steps < 0:
            raise BadArgument(
                f"{self.label!r} has a budget of {self.budget} and {self.source_steps} source "
                "steps; expected more than 0 and at least 0"
            )
        levels = self.thresholds
        if (
            not levels
            or list(levels) != sorted(set(levels))
            or not 0 < levels[0] <= levels[-1] <= 1
        ):
            raise BadArgument(f"thresholds are {levels}; expected ascending fractions in (0, 1]")
        for name, arm in self.arms.items():
            self._check_arm(name, arm)

    def _check_arm(self, name: str, arm: Arm) -> None:
        if name != arm.recipe:
            raise BadArgument(f"the arm under {name!r} is named {arm.recipe!r}; use one name")
        for run in arm.runs:
            if not run.covers(self.budget):
                raise BadArgument(
                    f"seed {run.seed} of {name!r} in {self.label!r} was evaluated up to step "
                    f"{run.steps[-1]:g} of {self.budget}; finish the run or lower the budget"
                )

    @property
    def transferred(self) -> list[str]:
        """Names of the arms other than scratch, in their order."""
        return [name for name in self.arms if name != "scratch"]

    @property
    def has_stochastic(self) -> bool:
        """Whether every run was also evaluated with the stochastic policy."""
        return all(run.stochastic is not None for arm in self.arms.values() for run in arm.runs)

    def grid(self) -> np.ndarray:
        """Every step within the budget at which some run was evaluated, and the budget itself."""
        steps = np.concatenate([run.steps for arm in self.arms.values() for run in arm.runs])
        return np.unique(np.append(steps[steps < self.budget], self.budget))

    def stochastic(self) -> Comparison:
        """The same comparison, with the scores of the stochastic policy as the scores.

        Raises:
            BadArgument: A run was not evaluated with the stochastic policy.
        """
        if not self.has_stochastic:
            raise BadArgument(
                f"{self.label!r} has runs without stochastic scores; evaluate both policies"
            )
        arms = {}
        for name, arm in self.arms.items():
            runs = [replace(r, scores=r.stochastic, stochastic=None, raw=None) for r in arm.runs]
            arms[name] = replace(arm, runs=runs)
        return replace(self, arms=arms)


def _frozen(values: np.ndarray) -> np.ndarray:
    copy = values.copy()
    copy.setflags(write=False)
    return copy
