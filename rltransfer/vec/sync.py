"""Environments that are stepped in turn, in this process."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from stable_baselines3.common.vec_env.util import dict_to_obs

# Entries of infos that nobody can change later.
_IMMUTABLE = frozenset(
    {float, int, bool, str, type(None), np.float64, np.float32, np.int64, np.bool}
)


class SyncVecEnv(DummyVecEnv):
    """SB3's ``DummyVecEnv``, with its results, and without most of its cost.

    ``DummyVecEnv`` copies all infos and observations with ``deepcopy`` at every step, which takes
    longer than a step of CartPole. Only what could be changed later is copied here.
    """

    def step_wait(self) -> VecEnvStepReturn:
        """Step the environments in turn, and reset those that ended."""
        infos: list[dict[str, Any]] = []
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        dones = np.zeros(self.num_envs, dtype=bool)
        for index, env in enumerate(self.envs):
            seen, rewards[index], terminated, truncated, info = env.step(self.actions[index])
            info = _copied(info) if info else {}
            info["TimeLimit.truncated"] = truncated and not terminated
            if terminated or truncated:
                dones[index] = True
                info["terminal_observation"] = deepcopy(seen)
                seen, self.reset_infos[index] = env.reset()
            infos.append(info)
            self._save_obs(index, seen)  # pyright: ignore[reportArgumentType]
        return self._obs_from_buf(), rewards, dones, infos

    def _obs_from_buf(self) -> VecEnvObs:
        return dict_to_obs(self.observation_space, {k: v.copy() for k, v in self.buf_obs.items()})


def _copied(info: dict[str, Any]) -> dict[str, Any]:
    return {k: v if type(v) in _IMMUTABLE else deepcopy(v) for k, v in info.items()}
