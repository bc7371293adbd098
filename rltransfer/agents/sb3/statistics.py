"""Statistics of ``VecNormalize``, from its pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rltransfer.agents import files
from rltransfer.agents.inert import (
    Budget,
    Global,
    Record,
    array,
    examine,
    instance,
    named,
    scalar,
    state,
)
from rltransfer.agents.inert.records import pairs_of
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.errors import BadArgument, BadCheckpoint

_VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"
_RUNNING = "stable_baselines3.common.running_mean_std.RunningMeanStd"
_MAX_BYTES = 2**26
_NUMBERS = ("clip_obs", "clip_reward", "gamma", "epsilon")


def read(path: Path) -> tuple[Normalization, list[Global]]:
    """Read the statistics that ``VecNormalize.save`` wrote.

    Args:
        path: The pickle.

    Returns:
        The statistics, and every class and function that the pickle names.

    Raises:
        BadCheckpoint: It is no pickle of a ``VecNormalize``, or its numbers are no statistics.
    """
    content = files.read(path, _MAX_BYTES)
    try:
        record, names = examine(content, Budget())
        found = instance(record)
        if found is None or found[0].path != _VEC_NORMALIZE:
            kind = found[0].path if found else "something else"
            raise BadCheckpoint(f"expected the pickle of a VecNormalize, got {kind}")
        return _normalization(state(found[1])), names
    except KeyError as error:
        raise BadCheckpoint(f"{path}: a VecNormalize without {error}") from error
    except (BadArgument, BadCheckpoint) as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def _normalization(given: dict[str, Record]) -> Normalization:
    obs, reward = _flag(given, "norm_obs"), _flag(given, "norm_reward")
    return Normalization(
        obs=obs,
        reward=reward,
        **{name: _number(given, name) for name in _NUMBERS},
        obs_stats=_of_observations(given["obs_rms"]) if obs else None,
        return_stats=_running(given["ret_rms"]) if reward else None,
    )


def _flag(given: dict[str, Record], name: str) -> bool:
    value = scalar(given[name])
    if type(value) is not bool:
        raise BadCheckpoint(f"{name} is {value!r:.40}: expected True or False")
    return value


def _number(given: dict[str, Record], name: str) -> float:
    value = scalar(given[name])
    if isinstance(value, bool):
        raise BadCheckpoint(f"{name} is {value}: expected a number")
    return float(value)


def _of_observations(record: Record) -> RunningStats | dict[str, RunningStats]:
    if pairs_of(record) is None:
        return _running(record)
    return {key: _running(part) for key, part in named(record).items()}


def _running(record: Record) -> RunningStats:
    found = instance(record)
    if found is None or found[0].path != _RUNNING:
        raise BadCheckpoint("expected running statistics of Stable-Baselines3")
    given: dict[str, Any] = state(found[1])
    mean, var = (_numbers(given[name]) for name in ("mean", "var"))
    return RunningStats(mean=mean, var=var, count=float(scalar(given["count"])))


def _numbers(record: Record) -> Any:
    """Return an array, or a number: the variance of a scalar becomes one where it is updated."""
    try:
        return array(record)
    except BadCheckpoint:
        return scalar(record)
