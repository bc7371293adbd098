"""The plain data that reports are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.errors import BadArgument
from rltransfer.metrics import check_curve, on_grid

Kind = Literal["baseline", "method", "control"]
"""What an arm is for: scratch, a way to transfer, or a check of what a gain is due to."""
SCRATCH = "scratch"
LONGER = "scratch-longer"
"""Scratch that had the steps of the source agent on top of the budget."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Evaluations of one training run.

    Attributes:
        seed: Training seed; runs of different arms with the same seed are compared.
        steps: Environment steps on the target, shape ``(n,)``, increasing from 0.
        scores: Mean score of the deterministic policy, shape ``(n,)``.
        stochastic: The same for the stochastic policy that gathers experience.
        raw: Mean return of the deterministic policy in the units of the task, shape ``(n,)``.
        source: Name of the source checkpoint, where a comparison has several. Empty for a run that
            all of them share, such as one from scratch.
    """

    seed: int
    steps: np.ndarray
    scores: np.ndarray
    stochastic: np.ndarray | None = None
    raw: np.ndarray | None = None
    source: str = ""

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
        recipe: Its name; ``"scratch"`` is the baseline.
        runs: One per source checkpoint and seed, kept in ascending order of the two.
        kind: What it is for. The arm named ``"scratch"`` is the baseline whatever is given.

    Raises:
        BadArgument: There are no runs, or two have the same source and seed.
    """

    recipe: str
    runs: Sequence[Curve]
    kind: Kind = "method"

    def __post_init__(self) -> None:
        if not self.runs or len(set(map(_key, self.runs))) < len(self.runs):
            raise BadArgument(
                f"arm {self.recipe!r} has {_listed(self.runs)}; expected at least one run, and "
                "each seed once for each source"
            )
        if self.recipe == SCRATCH:
            object.__setattr__(self, "kind", "baseline")
        elif self.kind not in ("method", "control"):
            raise BadArgument(
                f"arm {self.recipe!r} is of kind {self.kind!r}; expected 'method' or 'control'"
            )
        object.__setattr__(self, "runs", tuple(sorted(self.runs, key=_key)))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending, each once."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source checkpoints, ascending; none where the runs name none."""
        return tuple(sorted({run.source for run in self.runs} - {""}))

    def on_grid(self, grid: ArrayLike) -> np.ndarray:
        """Scores of every run at the same steps, shape ``(runs, m)``; the last one is held flat."""
        return scores_at(self.runs, grid)


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Recipes against training from scratch, on one target, at equal steps.

    Attributes:
        label: Short name, such as that of the pair.
        source: The pretrained agent, or its task.
        target: Task id.
        budget: Environment steps on the target that every run had. A run may have been evaluated
            past it, which is not used (but for the final score of ``"scratch-longer"``), or stop
            short of it by less than one evaluation interval, over which its last score is held
            flat. Every run may have been evaluated at steps of its own.
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
        if SCRATCH not in self.arms:
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
        if self.arms[SCRATCH].sources:
            raise BadArgument(
                f"runs of 'scratch' in {self.label!r} name the sources "
                f"{', '.join(self.arms[SCRATCH].sources)}; leave their source empty"
            )
        for name, arm in self.arms.items():
            self._check_arm(name, arm)

    def _check_arm(self, name: str, arm: Arm) -> None:
        if name != arm.recipe:
            raise BadArgument(f"the arm under {name!r} is named {arm.recipe!r}; use one name")
        for run in arm.runs:
            if not run.covers(self.budget):
                raise BadArgument(
                    f"{_name(run)} of {name!r} in {self.label!r} was evaluated up to step "
                    f"{run.steps[-1]:g} of {self.budget}; finish the run or lower the budget"
                )

    @property
    def transferred(self) -> list[str]:
        """Names of the arms other than scratch, in their order."""
        return [name for name in self.arms if name != SCRATCH]

    @property
    def controls(self) -> list[str]:
        """Names of the arms that check what a gain is due to, in their order."""
        return [name for name, arm in self.arms.items() if arm.kind == "control"]

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source checkpoints, ascending; none where there is one without a name."""
        return tuple(sorted({name for arm in self.arms.values() for name in arm.sources}))

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


def scores_at(runs: Sequence[Curve], grid: ArrayLike) -> np.ndarray:
    """Scores of runs at the same steps, shape ``(runs, m)``; the last one is held flat."""
    return np.stack([on_grid(run.steps, run.scores, grid, hold=True) for run in runs])


def _key(run: Curve) -> tuple[str, int]:
    return run.source, run.seed


def _name(run: Curve) -> str:
    return f"seed {run.seed}" + (f" from {run.source}" if run.source else "")


def _listed(runs: Sequence[Curve]) -> str:
    return ", ".join(map(_name, runs)) or "no runs"


def _frozen(values: np.ndarray) -> np.ndarray:
    copy = values.copy()
    copy.setflags(write=False)
    return copy
