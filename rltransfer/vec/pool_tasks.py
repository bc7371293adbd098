"""Which tasks envpool has too.

Each was compared with the environment that Gymnasium makes: from the same state, the same actions
give the same observations, rewards and ends (``tests/test_envpool.py``). Not offered are Pendulum,
whose angle envpool 1.2 moves by the speed before it is clipped, Ant, which parts from that of
Gymnasium within ten steps, so that equality cannot be shown, and MultiRoom, where envpool 1.2 draws
six layouts, in three of ten episodes, that MiniGrid never draws.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

_CONTROL = "gymnasium.envs.classic_control"
_MUJOCO = "gymnasium.envs.mujoco"
_ROOM = "rltransfer_envs.minigrid:flat_room"


@dataclass(frozen=True)
class PoolTask:
    """How a task is called in envpool.

    Attributes:
        id: Its id there.
        observe: Makes the task's observations, shape (n, *shape), of what envpool returns.
        reward: Makes its rewards, float64 of shape (n,), of envpool's, the steps taken in each
            episode and the time limit.
        limited: The environment has a time limit of its own, and its rewards depend on it.
    """

    id: str
    observe: Callable[[Any], np.ndarray] = np.asarray
    reward: Callable[[np.ndarray, np.ndarray, int], np.ndarray] = lambda rewards, *_: (
        rewards.astype(np.float64)
    )
    limited: bool = False


def _view(observations: Mapping[str, np.ndarray]) -> np.ndarray:
    image = observations["image"]
    return image.reshape(len(image), -1)


def _grid_reward(rewards: np.ndarray, steps: np.ndarray, limit: int) -> np.ndarray:
    """MiniGrid's formula, in its precision, for the limit that the task has.

    Chevalier-Boisvert et al. 2023, "Minigrid & Miniworld", section 3.
    """
    return np.where(rewards > 0, 1 - 0.9 * (steps / limit), 0.0)


def _room(id: str) -> PoolTask:
    return PoolTask(f"MiniGrid-{id}-v0", _view, _grid_reward, limited=True)


def _key(entry_point: object, kwargs: Mapping[str, Any]) -> str:
    plain = {
        name: value for name, value in kwargs.items() if (name, value) != ("render_mode", None)
    }
    return json.dumps([entry_point, plain], sort_keys=True, default=repr)


_TASKS: dict[str, PoolTask] = {
    _key(entry_point, kwargs): task
    for entry_point, kwargs, task in (
        (f"{_CONTROL}.cartpole:CartPoleEnv", {}, PoolTask("CartPole-v1")),
        (f"{_CONTROL}.acrobot:AcrobotEnv", {}, PoolTask("Acrobot-v1")),
        (f"{_CONTROL}.mountain_car:MountainCarEnv", {}, PoolTask("MountainCar-v0")),
        (
            f"{_CONTROL}.continuous_mountain_car:Continuous_MountainCarEnv",
            {},
            PoolTask("MountainCarContinuous-v0"),
        ),
        (f"{_MUJOCO}.half_cheetah_v5:HalfCheetahEnv", {}, PoolTask("HalfCheetah-v5")),
        (f"{_MUJOCO}.hopper_v5:HopperEnv", {}, PoolTask("Hopper-v5")),
        (f"{_MUJOCO}.walker2d_v5:Walker2dEnv", {}, PoolTask("Walker2d-v5")),
        (f"{_MUJOCO}.swimmer_v5:SwimmerEnv", {}, PoolTask("Swimmer-v5")),
        (
            f"{_MUJOCO}.inverted_pendulum_v5:InvertedPendulumEnv",
            {},
            PoolTask("InvertedPendulum-v5"),
        ),
        (_ROOM, {"room": "DoorKeyEnv", "size": 5}, _room("DoorKey-5x5")),
        (_ROOM, {"room": "DoorKeyEnv", "size": 6}, _room("DoorKey-6x6")),
        (_ROOM, {"room": "DoorKeyEnv", "size": 8}, _room("DoorKey-8x8")),
        (
            _ROOM,
            {"room": "EmptyEnv", "size": 6, "agent_start_pos": None},
            _room("Empty-Random-6x6"),
        ),
        (_ROOM, {"room": "FourRoomsEnv"}, _room("FourRooms")),
        (_ROOM, {"room": "UnlockEnv"}, _room("Unlock")),
        (_ROOM, {"room": "UnlockPickupEnv"}, _room("UnlockPickup")),
        (_ROOM, {"room": "LavaGapEnv", "size": 5}, _room("LavaGapS5")),
        (_ROOM, {"room": "LavaGapEnv", "size": 7}, _room("LavaGapS7")),
        (_ROOM, {"room": "RedBlueDoorEnv", "size": 6}, _room("RedBlueDoors-6x6")),
        (_ROOM, {"room": "MemoryEnv", "size": 11}, _room("MemoryS11")),
        (_ROOM, {"room": "DistShiftEnv", "strip2_row": 2}, _room("DistShift1")),
        (
            _ROOM,
            {"room": "CrossingEnv", "size": 9, "num_crossings": 2, "obstacle_type": "wall"},
            _room("SimpleCrossingS9N2"),
        ),
    )
}


def pool_task(spec: EnvSpec) -> PoolTask | None:
    """Return how envpool calls a task; None if it lacks it, or its equality is not shown.

    Args:
        spec: Gymnasium's spec of the task. Entry point and arguments decide; a task with wrappers
            is another one.
    """
    if spec.additional_wrappers:
        return None
    return _TASKS.get(_key(spec.entry_point, spec.kwargs))


def pool_ids() -> list[str]:
    """Ids of all registered tasks that envpool has."""
    return [id for id, spec in gym.registry.items() if pool_task(spec)]
