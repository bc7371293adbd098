"""Giving training from scratch a learning rate of its own, so that it is no straw man."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rltransfer import metrics
from rltransfer.errors import BadArgument
from rltransfer.experiments.jobs import Job
from rltransfer.experiments.planning import SCRATCH, TUNED, Comparing, with_rate
from rltransfer.experiments.run import Run

FACTORS = (0.3, 1.0, 3.0)
"""Learning rates to choose from, as multiples of the source's."""
SEEDS = (900, 901, 902)
"""Training seeds that the choice is made on, and that no comparison may report."""


def tuning_jobs(comparing: Comparing) -> list[Job]:
    """List the runs that choose a learning rate for scratch; none if no control needs it.

    Args:
        comparing: The comparison.
    """
    return [job for jobs in _by_factor(comparing).values() for job in jobs]


def tuned(comparing: Comparing, runs: Sequence[Run]) -> Comparing:
    """Return the comparison with the learning rate that did best in AUC.

    Args:
        comparing: The comparison.
        runs: Of :func:`tuning_jobs`, in that order.
    """
    left = iter(runs)
    areas = {
        factor: float(np.mean([_area(next(left), comparing.steps) for _ in jobs]))
        for factor, jobs in _by_factor(comparing).items()
    }
    if not areas:
        return comparing
    # A tie goes to the source's own rate.
    best = max(areas, key=lambda factor: (areas[factor], factor == 1.0))
    return replace(comparing, tuned_rate=best)


def check_seeds(comparing: Comparing, seeds: Sequence[int]) -> None:
    """Refuse to report a seed that something was chosen on.

    Raises:
        BadArgument: A seed is one of :data:`SEEDS`.
    """
    shared = sorted(set(seeds) & set(SEEDS))
    if TUNED in comparing.controls and shared:
        raise BadArgument(
            f"seeds {', '.join(map(str, shared))} are those that {TUNED!r} is tuned on: report "
            "others"
        )


def _by_factor(comparing: Comparing) -> Mapping[float, list[Job]]:
    if TUNED not in comparing.controls or comparing.tuned_rate is not None:
        return {}
    return {factor: list(_jobs(comparing, factor)) for factor in FACTORS}


def _jobs(comparing: Comparing, factor: float) -> Iterator[Job]:
    source = comparing.sources[0]
    for seed in SEEDS:
        spec = with_rate(comparing.scratch(seed), source, factor)
        yield Job(f"{comparing.label}-tuning", replace(spec, label=f"{SCRATCH} rate x{factor:g}"))


def _area(run: Run, budget: int) -> float:
    grid = np.unique([*run.steps[run.steps < budget], budget])
    return float(
        metrics.auc(grid, metrics.on_grid(run.steps, run.returns.mean(axis=1), grid, hold=True))
    )
