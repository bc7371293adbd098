"""From measured rounds to medians, ratios and shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rltransfer.metrics import bootstrap_interval
from throughput_workers.clocks import PHASES
from throughput_workers.workloads import IMPLEMENTATIONS

BASELINE = "sb3"
#: What one request measured: iterations, seconds, CPU seconds, seconds by phase, peak memory.
Round = Mapping[str, Any]


def summarize(
    rounds: Mapping[str, Sequence[Round]], steps: int, ceilings: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Summarize a workload.

    Args:
        rounds: Reports of each implementation, one a round, in the same order for all.
        steps: Environment steps of an iteration.
        ceilings: For each implementation, the one that steps its environments alone, if any.

    Returns:
        By implementation: median steps a second, seconds of an iteration and shares of the phases
        (medians); ratios to the baseline of whole iterations (``ratio``), of their CPU time
        (``cpu_ratio``) and of the updates (``update_ratio``), each [median, low, high] or None;
        share of the ceiling; peak memory in MiB.
    """
    rates = {name: steps / per_iteration(reports) for name, reports in rounds.items()}
    rows = {}
    for name, reports in rounds.items():
        ceiling = rates.get(ceilings.get(name, ""))
        rows[name] = {
            "steps_per_second": float(np.median(rates[name])),
            "seconds_per_iteration": float(np.median(per_iteration(reports))),
            "shares": {phase: float(np.median(share(reports, phase))) for phase in PHASES},
            "ratio": _against_baseline(rounds, name, "seconds"),
            "cpu_ratio": _against_baseline(rounds, name, "cpu_seconds"),
            "update_ratio": _against_baseline(rounds, name, "update"),
            "of_ceiling": None
            if ceiling is None
            else float(np.median(rates[name]) / np.median(ceiling)),
            "peak_mib": max(report["peak_mib"] for report in reports),
            "device_peak_mib": max((r.get("device_peak_mib") or 0.0) for r in reports) or None,
        }
    return rows


def per_iteration(reports: Sequence[Round], what: str = "seconds") -> np.ndarray:
    """Seconds of an iteration, CPU seconds, or those of a phase in it, for each round."""
    return np.array([_seconds(report, what) / report["iterations"] for report in reports])


def share(reports: Sequence[Round], phase: str) -> np.ndarray:
    """Share of time that a phase took, for each round."""
    return np.array([_seconds(report, phase) / report["seconds"] for report in reports])


def paired_ratio(baseline: np.ndarray, times: np.ndarray) -> list[float]:
    """How many times faster than the baseline, by rounds in pairs: what slows one slows both.

    Args:
        baseline: Seconds of the baseline, one a round.
        times: Seconds, one a round.

    Returns:
        Median of the ratios of the rounds, and the ends of a 95 % bootstrap interval for it.
    """
    ratios = baseline / times
    low, high = bootstrap_interval(ratios, np.median)
    return [float(np.median(ratios)), float(low), float(high)]


def _against_baseline(
    rounds: Mapping[str, Sequence[Round]], name: str, what: str
) -> list[float] | None:
    if BASELINE not in rounds or IMPLEMENTATIONS[name].learner == "env":
        return None
    baseline = per_iteration(rounds[BASELINE], what)
    return paired_ratio(baseline, per_iteration(rounds[name], what))


def _seconds(report: Round, what: str) -> float:
    return report["phases"][what] if what in PHASES else report[what]
