"""What finished runs gained over training from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltransfer import report
from rltransfer.agents import Agent
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
        )


def gain(runs: Sequence[Run], agent: Agent, *, label: str, expect: Any = None) -> Gain:
    """Compare finished runs of one target."""
    compared = comparison(runs, agent, label=label, expect=expect)
    return Gain(comparison=compared, summary=report.summarize(compared), runs=tuple(runs))


def comparison(
    runs: Sequence[Run], agent: Agent, *, label: str, expect: Any = None
) -> report.Comparison:
    """Turn finished runs into learning curves on the target's normalized scale, if it has one."""
    first = runs[0].spec
    known = task(first.target)
    scaled = known.random is not None and known.reference is not None
    names = list(dict.fromkeys(run.spec.label for run in runs))
    return report.Comparison(
        label=label,
        source=agent.card.name,
        target=first.target,
        budget=first.steps,
        source_steps=agent.card.steps,
        arms={n: _arm(n, [r for r in runs if r.spec.label == n], known, scaled) for n in names},
        thresholds=known.thresholds,
        normalized=scaled,
        random=known.random,
        reference=known.reference,
        expect=expect,
        notes={run.spec.label: run.choice for run in runs if run.choice},
    )


def _arm(name: str, runs: Sequence[Run], known: Task, scaled: bool) -> report.Arm:
    def scores(returns: Any) -> Any:
        means = returns.mean(axis=1)
        return known.normalize(means) if scaled else means

    return report.Arm(
        recipe=name,
        runs=[
            report.Curve(
                seed=run.spec.seed,
                steps=run.steps,
                scores=scores(run.returns),
                stochastic=scores(run.stochastic),
                raw=run.returns.mean(axis=1),
            )
            for run in runs
        ],
    )
