"""Running comparisons: scratch tuned first, then all runs in one sweep, then what they gained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rltransfer.agents import Agent
from rltransfer.experiments.gain import Gain, gain
from rltransfer.experiments.jobs import Job
from rltransfer.experiments.planning import Comparing
from rltransfer.experiments.run import Run
from rltransfer.experiments.sweep import sweep
from rltransfer.experiments.tuning import check_seeds, tuned, tuning_jobs


def compare(
    comparisons: Sequence[Comparing],
    *,
    seeds: Sequence[int],
    expect: Sequence[Any],
    **execution: Any,
) -> list[Gain]:
    """Run comparisons in one sweep, reusing the results that are there.

    Args:
        comparisons: What to compare.
        seeds: Training seeds, the same for every arm.
        expect: For each comparison ``"help"``, ``"hurt"`` or None.
        **execution: Where and how runs are executed; see :func:`sweep`.

    Returns:
        One gain for each comparison.

    Raises:
        BadArgument: A setting is out of range, or scratch would be tuned on a seed in ``seeds``.
        SweepFailed: Some runs failed; all others are finished and kept.
        TransferError: A run cannot work; the message begins with its name.
    """
    for one in comparisons:
        check_seeds(one, seeds)
    comparisons = _tuned(comparisons, execution)
    plans = [one.plan(seeds) for one in comparisons]
    agents = {hash: agent for plan in plans for hash, agent in plan.agents.items()}
    jobs = [job for plan in plans for job in plan.jobs]
    runs = iter(sweep(jobs, agents.values(), **execution))
    return [
        _gain(one, [next(runs) for _ in plan.jobs], what)
        for one, plan, what in zip(comparisons, plans, expect, strict=True)
    ]


def _tuned(comparisons: Sequence[Comparing], execution: Any) -> list[Comparing]:
    jobs = [tuning_jobs(one) for one in comparisons]
    listed = [job for some in jobs for job in some]
    if not listed:
        return list(comparisons)
    agents: list[Agent] = [one.sources[0] for one in comparisons]
    runs = iter(sweep(listed, agents, **execution))
    return [
        tuned(one, list(_next(runs, some))) for one, some in zip(comparisons, jobs, strict=True)
    ]


def _next(runs: Iterator[Run], jobs: Sequence[Job]) -> Iterator[Run]:
    return (next(runs) for _ in jobs)


def _gain(comparing: Comparing, runs: Sequence[Run], expect: Any) -> Gain:
    names = [agent.card.name for agent in comparing.sources]
    return gain(
        runs,
        comparing.sources[0],
        label=comparing.label,
        expect=expect,
        sources=names if len(names) > 1 else (),
        controls=comparing.controls,
    )
