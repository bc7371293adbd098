"""What finished runs gained over training from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltransfer import report
from rltransfer.agents import Agent
from rltransfer.errors import BadArgument
from rltransfer.experiments.controls import FROM_SCRATCH
from rltransfer.experiments.run import Run
from rltransfer.pretrain import versions
from rltransfer.registry import Task, task


@dataclass(frozen=True, kw_only=True, eq=False)
class Gain:
    """What recipes gained over training from scratch, on one target.

    ``print`` it for the table; :meth:`plot` and :meth:`report` write files.

    Attributes:
        comparison: The learning curves.
        summary: The numbers and the verdicts.
        runs: Every run, scratch included.
    """

    comparison: report.Comparison
    summary: report.Summary
    runs: tuple[Run, ...]

    def __str__(self) -> str:
        return report.table(self.summary)

    def plot(self, path: str | Path) -> None:
        """Write the learning curves as a PNG."""
        report.plot(self.comparison, path)

    def report(self, path: str | Path, command: str = "") -> None:
        """Write one self-contained HTML page."""
        report.html(
            [self.comparison],
            path,
            title=f"Transfer to {self.comparison.target}",
            command=command,
            versions=versions(),
            found=report.overview([self.comparison], [self.summary]),
        )


def gain(
    runs: Sequence[Run],
    agent: Agent,
    *,
    label: str,
    expect: Any = None,
    sources: Sequence[str] = (),
    controls: Sequence[str] = (),
) -> Gain:
    """Compare finished runs of one target; see :func:`comparison`."""
    compared = comparison(
        runs, agent, label=label, expect=expect, sources=sources, controls=controls
    )
    return Gain(comparison=compared, summary=report.summarize(compared), runs=tuple(runs))


def comparison(
    runs: Sequence[Run],
    agent: Agent,
    *,
    label: str,
    expect: Any = None,
    sources: Sequence[str] = (),
    controls: Sequence[str] = (),
) -> report.Comparison:
    """Turn finished runs into learning curves on the target's normalized scale, if it has one.

    Args:
        runs: Runs of one target, those from scratch included.
        agent: The source, or the first of several: its name and its steps are stated.
        label: Name of the comparison.
        expect: ``"help"`` or ``"hurt"``.
        sources: Names of the source checkpoints, where there are several. A run from another agent
            (such as one that knows an unrelated task), or of an arm that starts from scratch, is
            shared by all of them and paired by its seed alone.
        controls: Labels of the arms that are controls.

    Raises:
        BadArgument: Runs differ in their target, no run has a label of ``controls``, or an arm has
            a run twice.
    """
    first = next((run.spec for run in runs if run.spec.label == report.SCRATCH), runs[0].spec)
    known = task(first.target)
    scaled = known.random is not None and known.reference is not None
    names = list(dict.fromkeys(run.spec.label for run in runs))
    _check(runs, names, controls)
    arms = {
        name: _arm(
            name,
            [run for run in runs if run.spec.label == name],
            () if name in FROM_SCRATCH else sources,
            "control" if name in controls else "method",
            known if scaled else None,
        )
        for name in names
    }
    return report.Comparison(
        label=label,
        source=agent.card.name,
        target=first.target,
        budget=first.steps,
        source_steps=agent.card.steps,
        arms=arms,
        thresholds=known.thresholds,
        normalized=scaled,
        random=known.random,
        reference=known.reference,
        expect=expect,
        notes=_choices(runs, sources),
    )


def _check(runs: Sequence[Run], names: Sequence[str], controls: Sequence[str]) -> None:
    if len(targets := {run.spec.target for run in runs}) > 1:
        raise BadArgument(f"runs of {', '.join(sorted(targets))}: compare runs of one target")
    if unknown := sorted(set(controls) - set(names)):
        raise BadArgument(
            f"no runs of the controls {', '.join(unknown)}: the runs are of {', '.join(names)}"
        )


def _choices(runs: Sequence[Run], sources: Sequence[str]) -> dict[str, str]:
    """What ``auto`` chose and why; by source where there are several."""
    chosen = [run for run in runs if run.choice]
    several = len(sources) > 1
    return {
        f"{run.spec.label} from {run.spec.source}" if several else run.spec.label: run.choice
        for run in chosen
    }


def _arm(
    name: str, runs: Sequence[Run], sources: Sequence[str], kind: report.Kind, scale: Task | None
) -> report.Arm:
    def scores(returns: Any) -> Any:
        means = returns.mean(axis=1)
        return means if scale is None else scale.normalize(means)

    return report.Arm(
        recipe=name,
        kind=kind,
        runs=[
            report.Curve(
                seed=run.spec.seed,
                source=run.spec.source if run.spec.source in sources else "",
                steps=run.steps,
                scores=scores(run.returns),
                stochastic=scores(run.stochastic),
                raw=run.returns.mean(axis=1),
            )
            for run in runs
        ],
    )
