"""Carrying normalization statistics over to the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.errors import SpaceMismatch
from rltransfer.recipe import Recipe


class FixedStats(RunningMeanStd):
    """Statistics that no longer adapt; copies and pickles of them are SB3's plain ones."""

    def update(self, arr: np.ndarray) -> None:
        """Ignore the new samples, as asked by ``obs_stats="freeze"``."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A VecNormalize that a user pickles must open without rltransfer.
        return RunningMeanStd, (), dict(self.__dict__)


def carry_statistics(
    source: Normalization | None,
    recipe: Recipe,
    inputs: Sequence[int | None] | None,
    space: spaces.Space,
    *,
    keep_returns: bool,
    gamma: float,
) -> Normalization | None:
    """Choose the target's normalization.

    Args:
        source: The source's normalization, None if it had none.
        recipe: The recipe.
        inputs: Source column for each target column, None where they agree.
        space: Observation space of the target.
        keep_returns: Whether the return statistics are copied.
        gamma: Discount factor of the target.

    Returns:
        The same kinds of normalization as the source's, with copied or fresh statistics.

    Raises:
        SpaceMismatch: Statistics are to be copied, and do not have the shape of the observations.
    """
    if source is None:
        return None
    if recipe.obs_stats != "reset" and inputs is None and not statistics_fit(source, space):
        raise SpaceMismatch(
            f"the source's observation statistics do not fit {space}: start fresh ones with "
            "obs_stats='reset'"
        )
    observed = None if recipe.obs_stats == "reset" else source.obs_stats
    if observed is not None and inputs is not None:
        observed = _mapped(observed, inputs)
    return replace(
        source,
        gamma=gamma,
        obs_stats=_capped(observed, recipe.obs_count),
        return_stats=_capped_one(source.return_stats, recipe.obs_count) if keep_returns else None,
    )


def statistics_fit(source: Normalization | None, space: spaces.Space) -> bool:
    """Whether a source's observation statistics have the shape of a target's observations.

    Args:
        source: The source's normalization, None if it had none.
        space: Observation space of the target.
    """
    stats = source.obs_stats if source is not None and source.obs else None
    if isinstance(stats, dict):
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        return all(key in parts and parts[key].shape == one.shape for key, one in stats.items())
    return stats is None or stats.shape == space.shape


def fix_observations(venv: VecNormalize) -> None:
    """Stop the observation statistics from adapting; return statistics go on."""
    stats = venv.obs_rms
    fixed = {k: _fixed(v) for k, v in stats.items()} if isinstance(stats, dict) else _fixed(stats)
    venv.obs_rms = fixed  # pyright: ignore[reportAttributeAccessIssue]


def _fixed(stats: RunningMeanStd) -> FixedStats:
    fixed = FixedStats(shape=stats.mean.shape)
    fixed.mean, fixed.var, fixed.count = stats.mean, stats.var, stats.count
    return fixed


def _capped(
    stats: RunningStats | dict[str, RunningStats] | None, limit: float
) -> RunningStats | dict[str, RunningStats] | None:
    if isinstance(stats, dict):
        return {key: replace(one, count=min(one.count, limit)) for key, one in stats.items()}
    return _capped_one(stats, limit)


def _capped_one(stats: RunningStats | None, limit: float) -> RunningStats | None:
    return None if stats is None else replace(stats, count=min(stats.count, limit))


def _mapped(
    stats: RunningStats | dict[str, RunningStats], inputs: Sequence[int | None]
) -> RunningStats:
    """Statistics in the target's columns; columns that the source never saw start at (0, 1)."""
    if isinstance(stats, dict) or stats.mean.ndim != 1:
        raise SpaceMismatch(
            "inputs can rearrange statistics of flat observations only: "
            "wrap the target in an adapter, or set obs_stats='reset'"
        )
    mean, var = np.zeros(len(inputs)), np.ones(len(inputs))
    for column, index in enumerate(inputs):
        if index is not None:
            mean[column], var[column] = stats.mean[index], stats.var[index]
    return RunningStats(mean=mean, var=var, count=stats.count)
