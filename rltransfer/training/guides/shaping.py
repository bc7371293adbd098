"""Rewards shaped by a potential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from rltransfer.vec.observations import batch_of_one

Potential = Callable[[Any], np.ndarray]
"""From observations of N states, an array or a dict of arrays, to potentials, shape (N,)."""


class ShapedVecEnv(VecEnvWrapper):
    """Adds ``gamma * potential(s') - potential(s)`` to rewards (Ng et al. 1999).

    The potential after an end is 0. Where a time limit cut the episode it is that of the last
    state, from which the learner's own estimate of what would have followed goes on. Infos, with
    what ``Monitor`` says of episodes, stay as they are.

    It belongs below ``VecNormalize``: it takes observations and rewards as the task gives them.

    Args:
        venv: The environments.
        potential: The potential, in units of the reward.
        gamma: The learner's discount factor; with any other, the best policy might change.
    """

    def __init__(self, venv: VecEnv, potential: Potential, gamma: float) -> None:
        super().__init__(venv)
        self._potential = potential
        self._gamma = gamma
        self._here = np.zeros(venv.num_envs, np.float32)
        self._added: list[float] = []

    def reset(self) -> VecEnvObs:
        """Reset, and see how promising the first states are."""
        observations = self.venv.reset()
        self._here = self._potential(observations)
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and reward for what became more promising."""
        observations, rewards, dones, infos = self.venv.step_wait()
        begun = self._potential(observations)
        reached = begun.copy()
        for index in np.flatnonzero(dones).tolist():
            reached[index] = self._last(infos[index])
        shaped = rewards + self._gamma * reached - self._here
        self._here = begun
        self._added.append(float(np.abs(shaped - rewards).mean()))
        return observations, shaped.astype(np.float32), dones, infos

    def log(self) -> dict[str, float]:
        """Mean size of what was added to a reward since the last time."""
        added, self._added = self._added, []
        return {"added": float(np.mean(added))} if added else {}

    def _last(self, info: dict[str, Any]) -> float:
        if not info.get("TimeLimit.truncated", False):
            return 0.0
        return float(self._potential(batch_of_one(info["terminal_observation"]))[0])


def shaping_of(venv: VecEnv | None) -> ShapedVecEnv | None:
    """Find the shaping of vectorized environments; None if there is none."""
    while isinstance(venv, VecEnvWrapper):
        if isinstance(venv, ShapedVecEnv):
            return venv
        venv = venv.venv
    return None
