"""MiniGrid rooms with the agent's 7x7 view as a flat vector (extra ``minigrid``).

All share Box(147) observations and Discrete(7) actions, so weights fit from any room to any other.
"""

from __future__ import annotations

import importlib

import gymnasium as gym

from rltransfer_envs.family import Variant
from rltransfer_envs.minigrid_rooms import (
    DISTSHIFT,
    DOORKEY,
    DOORKEY_VARIANTS,
    EMPTY,
    EMPTY_VARIANTS,
    LAVA,
    LAVA_VARIANTS,
    MEMORY,
    REDBLUE,
    UNLOCK,
    UNLOCK_VARIANTS,
)

# Sets of tasks to learn together: Hendawy et al. 2024, "Multi-Task Reinforcement Learning with
# Mixture of Orthogonal Experts".
MT3 = ("rlt/LavaGapS7-v0", "rlt/RedBlueDoors-6x6-v0", "rlt/MemoryS11-v0")
MT5 = (*MT3, "rlt/DoorKey-6x6-v0", "rlt/DistShift1-v0")
MT7 = (*MT5, "rlt/SimpleCrossingS9N2-v0", "rlt/MultiRoom-N2-S4-v0")


def flat_room(*, room: str, **kwargs: object) -> gym.Env:
    """Make a MiniGrid room that MLP policies can read.

    Args:
        room: Class in ``minigrid.envs``, such as ``"DoorKeyEnv"``.
        kwargs: Its arguments, JSON-able.

    Returns:
        Environment with Box(147) observations of uint8 (7x7 cells; object, color, state) and
        Discrete(7) actions. The mission text and the direction are dropped.
    """
    # Imported here, so that the family can be registered without the extra.
    envs = importlib.import_module("minigrid.envs")
    view = importlib.import_module("minigrid.wrappers").ImgObsWrapper
    return gym.wrappers.FlattenObservation(view(getattr(envs, room)(**kwargs)))


def register() -> None:
    """Register the rooms, and the pairs between rooms that are sources of their own."""
    DOORKEY.register(DOORKEY_VARIANTS)
    EMPTY.register(EMPTY_VARIANTS)
    UNLOCK.register(UNLOCK_VARIANTS)
    LAVA.register(LAVA_VARIANTS)
    for alone in (REDBLUE, MEMORY, DISTSHIFT):
        alone.register(())
    DOORKEY.register_pair(
        Variant(
            id=UNLOCK.source,
            pair="doorkey-unlock",
            summary="",
            shift="reward",
            expect="help",
            why="fetching the key and opening the door is all that is asked; the source does both",
        )
    )
    UNLOCK.register_pair(
        Variant(
            id=DOORKEY.source,
            pair="unlock-doorkey",
            summary="",
            shift="layout",
            expect="help",
            why="the source brings key and door; walking on to the goal is new",
        )
    )
    EMPTY.register_pair(
        Variant(
            id=LAVA.source,
            pair="empty-lavagap",
            summary="",
            shift="layout",
            expect="hurt",
            why="the source has never seen lava and walks straight into it on the way to the goal",
        )
    )
