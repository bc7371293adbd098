"""Several comparisons at once, and the files that tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument
from rltransfer.experiments.compare import compare
from rltransfer.experiments.engines import EngineName, Limits
from rltransfer.experiments.gain import Gain
from rltransfer.experiments.jobs import Watch
from rltransfer.experiments.measuring import agents_of, source_of
from rltransfer.experiments.planning import Comparing
from rltransfer.experiments.tuning import tuning_jobs
from rltransfer.experiments.writing import write
from rltransfer.recipe import Recipe
from rltransfer.registry import pair


@dataclass(frozen=True, kw_only=True)
class Case:
    """One target to compare recipes on, and where they transfer from.

    Attributes:
        label: Its name in tables and folders.
        source: Agent, zoo name or path, or several checkpoints of one source.
        target: Gymnasium id or ``module:Id``.
        steps: Budget of environment steps on the target.
        expect: ``"help"`` or ``"hurt"``, None if nothing is expected.
        controls: Names of controls; see :mod:`rltransfer.experiments.controls`.
        unrelated: Agent of another task, for the control of that name.
    """

    label: str
    source: Agent | str | Path | Sequence[Agent | str | Path]
    target: str
    steps: int
    expect: Any = None
    controls: Sequence[str] = ()
    unrelated: Agent | str | Path | None = None

    def loaded(self) -> Case:
        """The same with its agents in memory, for those who look at it more than once.

        Raises:
            TransferError: An agent cannot be loaded.
        """
        other = None if self.unrelated is None else agents_of(self.unrelated)[0]
        return replace(self, source=agents_of(self.source), unrelated=other)

    def comparing(self, recipes: Mapping[str, Recipe], settings: Mapping[str, Any]) -> Comparing:
        """What is compared.

        Args:
            recipes: Recipes by name, ``"scratch"`` among them.
            settings: Settings of the runs.

        Raises:
            TransferError: An agent cannot be loaded, or a control lacks what it needs.
        """
        return Comparing(
            label=self.label,
            sources=agents_of(self.source),
            target=self.target,
            recipes=recipes,
            steps=self.steps,
            controls=tuple(self.controls),
            unrelated=None if self.unrelated is None else agents_of(self.unrelated)[0],
            settings=settings,
        )


def case_of(
    name: str,
    *,
    source: Agent | str | Path | Sequence[Agent | str | Path] | None = None,
    steps: int | None = None,
) -> Case:
    """Make a case of a registered pair.

    Raises:
        UnknownName: No pair has that name.
        BadArgument: The pair has no zoo agent and no source is given.
    """
    found = pair(name)
    return Case(
        label=name,
        source=source or source_of(found),
        target=found.target,
        steps=found.steps if steps is None else steps,
        expect=found.expect,
    )


def size_of(cases: Sequence[Case], recipes: Mapping[str, Recipe], seeds: int) -> tuple[int, int]:
    """Number of runs of a benchmark, and their environment steps in all."""
    compared = [case.comparing(recipes, {}) for case in cases]
    sizes = [one.size(seeds) for one in compared]
    tuning = [job.spec.steps for one in compared for job in tuning_jobs(one)]
    runs = sum(runs for runs, _ in sizes) + len(tuning)
    return runs, sum(steps for _, steps in sizes) + sum(tuning)


def benchmark(
    cases: Sequence[Case],
    recipes: Mapping[str, Recipe],
    *,
    seeds: Sequence[int],
    out: Path,
    processes: int = 1,
    engine: EngineName | None = None,
    address: str | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    command: str = "",
    **settings: Any,
) -> list[Gain]:
    """Run every recipe and scratch on every case, and write what came out.

    Args:
        cases: What to compare on.
        recipes: Recipes by name, ``"scratch"`` among them.
        seeds: Training seeds, the same for every recipe.
        out: Folder of the runs, the curves, the plots and the report.
        processes: Runs at a time.
        engine: Who executes them; see :func:`sweep`.
        address: Of the cluster, for engines that have one.
        limits: What each run may take.
        watch: Called as the runs proceed.
        command: Command line, for the report.
        **settings: ``points``, ``episodes``, ``max_steps``, ``device``, ``vec`` and
            ``hyperparameters`` of :class:`RunSpec`.

    Returns:
        One gain for each case.

    Raises:
        BadArgument: A setting is out of range, or two cases have the same label.
        NotWritable: ``out`` cannot be written.
        SweepFailed: Some runs failed; all others are finished and kept.
        TransferError: A run cannot work; the message begins with its name.
    """
    _check_labels(cases)
    gains = compare(
        [case.comparing(recipes, settings) for case in cases],
        seeds=seeds,
        expect=[case.expect for case in cases],
        out=out,
        processes=processes,
        engine=engine,
        address=address,
        limits=limits,
        watch=watch,
    )
    write(gains, out, command=command)
    return gains


def _check_labels(cases: Sequence[Case]) -> None:
    labels = [case.label for case in cases]
    if not labels or len(set(labels)) < len(labels):
        raise BadArgument(f"cases are {', '.join(labels) or 'none'}: expected each label once")
