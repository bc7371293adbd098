"""Which run is compared with which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rltransfer import metrics
from rltransfer.report.data import Arm, Comparison, Curve, scores_at


@dataclass(frozen=True, eq=False)
class Pairing:
    """Runs of an arm, each with its partner from a control.

    Attributes:
        runs: Runs of the arm, in ascending order of source and seed.
        partners: For each, the run of the control with the same seed: of the same source if there
            is one, or else the one that all sources share. A partner may serve several runs.
        alone: Seeds of runs of either arm that have no partner in the other.
    """

    runs: tuple[Curve, ...]
    partners: tuple[Curve, ...]
    alone: tuple[int, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were paired, ascending, each once."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that were paired, ascending; none where the runs name none."""
        return tuple(sorted({run.source for run in self.runs} - {""}))

    def table(self, values: np.ndarray) -> np.ndarray:
        """Lay one value per run out as (sources, seeds), with ``nan`` where there is no run."""
        rows, columns = sorted({run.source for run in self.runs}), self.seeds
        laid = np.full((len(rows), len(columns)), np.nan)
        for run, value in zip(self.runs, values, strict=True):
            laid[rows.index(run.source), columns.index(run.seed)] = value
        return laid


def pair(arm: Arm, control: Arm) -> Pairing:
    """Find the partner of every run of an arm; runs without one are left out.

    Args:
        arm: The arm.
        control: What it is compared with.

    Returns:
        The pairs; none if the arms share no seed.
    """
    partners = {(run.source, run.seed): run for run in control.runs}
    found = [
        (run, partner)
        for run in arm.runs
        if (partner := partners.get((run.source, run.seed)) or partners.get(("", run.seed)))
    ]
    paired = {run.seed for run, _ in found}
    left = {run.seed for run in arm.runs} - paired | {run.seed for run in control.runs} - paired
    return Pairing(
        runs=tuple(run for run, _ in found),
        partners=tuple(partner for _, partner in found),
        alone=tuple(sorted(left)),
    )


def area_tables(c: Comparison, paired: Pairing) -> tuple[np.ndarray, np.ndarray]:
    """AUC of the runs and of their partners, each of shape (sources, seeds)."""
    grid = c.grid()
    areas = [metrics.auc(grid, scores_at(runs, grid)) for runs in (paired.runs, paired.partners)]
    return paired.table(np.asarray(areas[0])), paired.table(np.asarray(areas[1]))
