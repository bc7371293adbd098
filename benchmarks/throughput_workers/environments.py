"""The environments of a workload, as vectorized environments of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from throughput_workers.workloads import Vec, Workload

SHAPE = (4, 84, 84)
EPISODE = 200
FRAMES = 64


class SyntheticImages(VecEnv):
    """Frames of noise that were drawn beforehand, so that stepping costs next to nothing.

    Observations are uint8 of shape (4, 84, 84), channels first, as SB3 wants them; there are 6
    actions, which have no effect, and rewards of noise. Episodes last 200 steps and start
    staggered.

    Args:
        num_envs: Environments.
        seed: Seed of frames and rewards.
    """

    render_mode = None

    def __init__(self, num_envs: int, seed: int = 0) -> None:
        super().__init__(num_envs, spaces.Box(0, 255, SHAPE, np.uint8), spaces.Discrete(6))
        rng = np.random.default_rng(seed)
        self._frames = rng.integers(0, 256, (FRAMES, num_envs, *SHAPE), np.uint8)
        self._rewards = rng.normal(size=(FRAMES, num_envs)).astype(np.float32)
        self._offsets = np.arange(num_envs) * (EPISODE // num_envs)
        self._clock = 0

    def reset(self) -> np.ndarray:
        """Give the first frames."""
        self._clock = 0
        return self._frames[0].copy()

    def step_async(self, actions: np.ndarray) -> None:
        """Advance the clock."""
        self._clock += 1

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Give the next frames and rewards."""
        index = self._clock % FRAMES
        frames = self._frames[index].copy()
        dones = (self._clock + self._offsets) % EPISODE == 0
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for env in np.flatnonzero(dones):
            infos[env] = {
                "terminal_observation": frames[env].copy(),
                "episode": {"r": 0.0, "l": EPISODE, "t": 0.0},
            }
        return frames, self._rewards[index].copy(), dones, infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Attributes of the whole, one for each environment."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: there are no single environments."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Refuse: there are no single environments."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Tell that no environment is wrapped."""
        return [False for _ in self._get_indices(indices)]


def pong(num_envs: int, seed: int = 0) -> VecEnv:
    """Pong of ale-py's ``AtariVectorEnv``, with its usual preprocessing, on one thread."""
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode

    from rltransfer.vec import VectorEnvAdapter

    games = AtariVectorEnv("pong", num_envs, num_threads=1, autoreset_mode=AutoresetMode.SAME_STEP)
    venv = VectorEnvAdapter(games)
    venv.seed(seed)
    return venv


#: Environments that are the same for every implementation.
GIVEN: Mapping[str, Callable[[int, int], VecEnv]] = {"images": SyntheticImages, "pong": pong}


def make(workload: Workload, vec: Vec, seed: int) -> VecEnv:
    """Make the environments of a workload.

    Raises:
        ImportError: A package that they need is not installed.
    """
    if workload.env in GIVEN:
        return GIVEN[workload.env](workload.n_envs, seed)
    if vec == "sb3":
        return make_vec_env(workload.env, workload.n_envs, seed=seed)
    from rltransfer.vec import make_vec

    task: Any = workload.env
    return make_vec(task, workload.n_envs, seed=seed, vec=vec)  # pyright: ignore[reportArgumentType]
