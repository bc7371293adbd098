"""Running statistics that normalize observations and rewards, in and out of ``VecNormalize``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from rltransfer.agents import vec_statistics
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.errors import BadArgument, RecipeError, SpaceMismatch


def normalize(venv: VecEnv, spec: Normalization | None, training: bool) -> VecEnv:
    """Normalize observations and rewards by running statistics.

    The vector parts of a Dict space are normalized; its images are left to the policy, which
    divides them by 255, and other parts (Discrete, ...) are left as they are.

    Args:
        venv: Environments that are not normalized yet.
        spec: What to normalize, and the statistics to start from (copied); None for nothing.
        training: Whether the statistics follow what is seen from now on.

    Returns:
        A plain ``VecNormalize`` (users without rltransfer can open it); ``venv`` if spec is None.

    Raises:
        BadArgument: ``venv`` is normalized already, or has no observation that can be normalized.
        SpaceMismatch: The statistics do not have the shape of the observations.
    """
    if spec is None:
        return venv
    if unwrap_vec_normalize(venv) is not None:
        raise BadArgument("venv is normalized already: give the environments of make_vec()")
    if spec.obs:
        spec = replace(spec, obs_stats=_start(venv.observation_space, spec.obs_stats))
    return vec_statistics.wrap(venv, spec, training=training)


def normalization_of(source: BaseAlgorithm | VecEnv) -> Normalization | None:
    """Read how a model's environments, or environments, are normalized.

    Args:
        source: A model, or vectorized environments.

    Returns:
        The settings and a copy of the statistics; None if nothing is normalized.
    """
    venv = source.get_env() if isinstance(source, BaseAlgorithm) else source
    found = None if venv is None else unwrap_vec_normalize(venv)
    if found is None:
        return None
    return vec_statistics.read(found)


def observation_normalizer(space: spaces.Space, spec: Normalization | None) -> Callable[[Any], Any]:
    """Build the function that normalizes batches of observations as ``VecNormalize`` does.

    Args:
        space: Space of one observation.
        spec: The normalization; None, or one that leaves observations alone, for the identity.

    Returns:
        From a batch (an array, or a dict of arrays) to a new one; the statistics are copied now.

    Raises:
        BadArgument: Observations are to be normalized, but by no statistics.
        SpaceMismatch: The statistics do not have the shape of the observations.
    """
    if spec is None or not spec.obs:
        return lambda observations: observations
    if spec.obs_stats is None:
        raise BadArgument("the normalization has no statistics of observations: train it first")
    _require_fit(space, spec.obs_stats)
    if isinstance(spec.obs_stats, dict):
        parts = {key: _normalizer(stats, spec) for key, stats in spec.obs_stats.items()}
        return lambda observations: {
            key: parts[key](values) if key in parts else values
            for key, values in observations.items()
        }
    return _normalizer(spec.obs_stats, spec)


def reward_unit(spec: Normalization | None) -> float:
    """Return what one unit of normalized rewards, and of values of them, is in the task's unit.

    Args:
        spec: The normalization; 1 for None, or one that leaves rewards alone.

    Raises:
        RecipeError: Rewards are normalized, but by no statistics.
    """
    if spec is None or not spec.reward:
        return 1.0
    if spec.return_stats is None:
        raise RecipeError(
            "the source learned from normalized rewards and carries no return statistics, so that "
            "the scale of its values is unknown: use another source, or drop the method"
        )
    return float(np.sqrt(spec.return_stats.var + spec.epsilon))


def _normalizer(stats: RunningStats, spec: Normalization) -> Callable[[np.ndarray], np.ndarray]:
    mean, std, clip = stats.mean.copy(), np.sqrt(stats.var + spec.epsilon), spec.clip_obs
    return lambda values: np.clip((values - mean) / std, -clip, clip).astype(np.float32)


Stats = RunningStats | dict[str, RunningStats]


def _start(space: spaces.Space, stats: Stats | None) -> Stats:
    """Check given statistics, or start new ones for all of a space that can be normalized."""
    parts = _parts(space)
    if stats is None:
        chosen = {key: _fresh(part) for key, part in parts.items() if _is_vector(part)}
    else:
        chosen = _parts(stats)
    unfit = [key for key in chosen if key in parts and not _is_vector(parts[key])]
    if unfit or not chosen:
        raise BadArgument(
            f"{_name(unfit[0] if unfit else None)} is {parts[unfit[0]] if unfit else space}, which"
            " running statistics do not fit (the policy scales images and encodes classes): use"
            " Normalization(obs=False, ...)"
        )
    start: Any = chosen.get(None, chosen)
    _require_fit(space, start)
    return start


def _require_fit(space: spaces.Space, stats: Stats) -> None:
    parts = _parts(space)
    for key, one in _parts(stats).items():
        if key not in parts:
            names = ", ".join(map(_name, parts))
            raise SpaceMismatch(f"there are statistics of {_name(key)}, the task has {names}")
        if parts[key].shape != one.shape:
            raise SpaceMismatch(
                f"{_name(key)} has shape {parts[key].shape}, its statistics have {one.shape}: pad"
                " or select their columns, or start without (obs_stats=None)"
            )


def _parts(whole: Any) -> dict[str | None, Any]:
    """Take a Dict space, or a dict of statistics, apart; None names the whole of anything else."""
    return dict(whole.items()) if isinstance(whole, dict | spaces.Dict) else {None: whole}


def _name(key: str | None) -> str:
    return "the observation" if key is None else f"observation {key!r}"


def _is_vector(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and not is_image_space(space)


def _fresh(space: spaces.Space) -> RunningStats:
    start = RunningMeanStd(shape=space.shape or ())
    return RunningStats(mean=start.mean, var=start.var, count=start.count)
