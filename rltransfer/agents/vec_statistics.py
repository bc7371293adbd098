"""Statistics of a Stable-Baselines3 ``VecNormalize``: read, and put into a plain one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rltransfer.agents.normalization import Normalization, RunningStats


def read(venv: VecNormalize) -> Normalization:
    """Copy what a ``VecNormalize`` has gathered, and how it is set."""
    obs_stats = None
    if venv.norm_obs:
        rms: Any = venv.obs_rms
        is_dict = isinstance(rms, dict)
        obs_stats = {key: _stats(part) for key, part in rms.items()} if is_dict else _stats(rms)
    return Normalization(
        obs=bool(venv.norm_obs),
        reward=bool(venv.norm_reward),
        clip_obs=float(venv.clip_obs),
        clip_reward=float(venv.clip_reward),
        gamma=float(venv.gamma),
        epsilon=float(venv.epsilon),
        obs_stats=obs_stats,
        return_stats=_stats(venv.ret_rms) if venv.norm_reward else None,
    )


def wrap(venv: Any, spec: Normalization, *, training: bool) -> VecNormalize:
    """Wrap ``venv`` in a plain ``VecNormalize`` with these settings and statistics.

    Args:
        venv: Vectorized environment whose observations have the shape of the statistics.
        spec: Settings and statistics; statistics that are None start afresh.
        training: Whether the statistics go on changing.
    """
    keys = list(spec.obs_stats) if isinstance(spec.obs_stats, dict) else None
    wrapped = VecNormalize(
        venv,
        training=training,
        norm_obs=spec.obs,
        norm_reward=spec.reward,
        clip_obs=spec.clip_obs,
        clip_reward=spec.clip_reward,
        gamma=spec.gamma,
        epsilon=spec.epsilon,
        norm_obs_keys=keys,
    )
    if isinstance(spec.obs_stats, dict):
        rms: Any = {key: _rms(stats) for key, stats in spec.obs_stats.items()}
        wrapped.obs_rms = rms
    elif spec.obs_stats is not None:
        wrapped.obs_rms = _rms(spec.obs_stats)  # pyright: ignore[reportAttributeAccessIssue]
    if spec.return_stats is not None:
        wrapped.ret_rms = _rms(spec.return_stats)
    return wrapped


def without_environment(
    spec: Normalization, observation_space: gym.Space, action_space: gym.Space
) -> VecNormalize:
    """Make a plain ``VecNormalize`` that has no environment yet, as one that was unpickled."""
    venv = DummyVecEnv([lambda: _Spaces(observation_space, action_space)])
    return wrap(venv, spec, training=True)


def _stats(rms: RunningMeanStd) -> RunningStats:
    return RunningStats(mean=rms.mean, var=rms.var, count=rms.count)


def _rms(stats: RunningStats) -> RunningMeanStd:
    rms = RunningMeanStd(shape=stats.shape)
    rms.mean, rms.var, rms.count = np.array(stats.mean), np.array(stats.var), stats.count
    return rms


class _Spaces(gym.Env):
    """The two spaces of an environment that is never stepped."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
