"""Experiments whose true answer is known, for ``benchmarks/interval_coverage.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rltransfer.metrics import iqm

SHAPES = ("normal", "bounded", "bimodal", "log-normal")
PAIRS = np.array([-0.3, -0.1, 0.0, 0.1, 0.3])
"""What each of five pairs adds to the scores of both arms."""
_TRUTH_RUNS = 400_000
Draw = Callable[..., np.ndarray]


def scores(rng: np.random.Generator, shape: str, arm: str, size: tuple[int, ...]) -> np.ndarray:
    """AUC of independent runs with transfer (``"x"``) or from scratch (``"y"``)."""
    better = arm == "x"
    if shape == "normal":
        return rng.normal(0.6 if better else 0.4, 0.2, size)
    if shape == "bounded":
        return rng.beta(5, 2, size) if better else rng.beta(2, 3, size)
    if shape == "bimodal":
        # 30 % of the runs with transfer and half of those from scratch stay unsolved.
        solved = rng.random(size) < (0.7 if better else 0.5)
        return np.where(solved, 0.8, 0.1) + rng.normal(0, 0.05, size)
    # Log-normal with sigma = 1 (skewness 6.2); scratch spreads a third as much.
    return 0.2 * np.exp(rng.normal(0, 1, size)) * (1 if better else 1 / 3)


@dataclass(frozen=True, eq=False)
class Experiments:
    """Many repetitions of one experiment.

    Attributes:
        x: Runs with transfer, shape ``(repetitions, pairs, sources, seeds)``.
        y: Runs from scratch, which all sources share, shape ``(repetitions, pairs, seeds)``.
    """

    x: np.ndarray
    y: np.ndarray


def draw(
    rng: np.random.Generator,
    shape: str,
    *,
    repetitions: int,
    seeds: int,
    sources: int = 1,
    between: float = 0.0,
    pairs: int = 1,
) -> Experiments:
    """Draw experiments.

    Args:
        rng: Source of chance.
        shape: One of :data:`SHAPES`.
        repetitions: Number of experiments.
        seeds: Target seeds.
        sources: Source checkpoints.
        between: Standard deviation of what a source adds to all its runs, by that of a run.
        pairs: 1, or 5 that differ by :data:`PAIRS`.
    """
    x = scores(rng, shape, "x", (repetitions, pairs, sources, seeds))
    luck = rng.normal(0, between * _spread(shape), (repetitions, pairs, sources, 1))
    y = scores(rng, shape, "y", (repetitions, pairs, seeds))
    shift = PAIRS if pairs > 1 else np.zeros(1)
    return Experiments(x + luck + shift[:, None, None], y + shift[:, None])


@dataclass(frozen=True)
class Truth:
    """What the estimates should find, from 400,000 runs.

    Attributes:
        gain: Mean paired difference.
        iqm: Interquartile mean of the runs with transfer.
        improvement: Chance that a run with transfer beats one from scratch.
        tau: A threshold, the 60 % quantile of the runs with transfer.
        share: Share of the runs with transfer above it.
    """

    gain: float
    iqm: float
    improvement: float
    tau: float
    share: float


def truth(shape: str, *, between: float = 0.0, pairs: int = 1) -> Truth:
    """True answers of :func:`draw`: every run from a source of its own."""
    rng = np.random.default_rng(2**20)
    n = _TRUTH_RUNS // pairs
    many = draw(rng, shape, repetitions=n, seeds=1, between=between, pairs=pairs)
    x, y = many.x[:, :, 0, 0], many.y[:, :, 0]
    tau = float(np.quantile(x, 0.6))
    return Truth(
        gain=_mean(shape, "x") - _mean(shape, "y"),
        iqm=float(iqm(x)),
        improvement=float(np.mean(x > y)),
        tau=tau,
        share=float(np.mean(x > tau)),
    )


def _mean(shape: str, arm: str) -> float:
    better = arm == "x"
    return {
        "normal": 0.6 if better else 0.4,
        "bounded": 5 / 7 if better else 2 / 5,
        "bimodal": 0.1 + 0.7 * (0.7 if better else 0.5),
        "log-normal": 0.2 * float(np.exp(0.5)) * (1 if better else 1 / 3),
    }[shape]


def _spread(shape: str) -> float:
    rng = np.random.default_rng(2**21)
    return float(scores(rng, shape, "x", (_TRUTH_RUNS,)).std())
