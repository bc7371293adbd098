"""MiniGrid rooms with the agent's 7x7 view as a flat vector (extra ``minigrid``).

All share Box(147) observations and Discrete(7) actions, so weights fit from any room to any other.
"""

from __future__ import annotations

import importlib
from dataclasses import replace

import gymnasium as gym

from rltransfer_envs.family import Family, Variant

_SOURCE = Family(
    name="minigrid",
    source="",
    summary="",
    entry_point="rltransfer_envs.minigrid:flat_room",
    steps=100_000,
    extra="minigrid",
)

DOORKEY = replace(
    _SOURCE,
    source="rlt/DoorKey-5x5-v0",
    summary="fetch a key, open the door, reach the goal; 5x5",
    kwargs={"room": "DoorKeyEnv", "size": 5},
    agent="doorkey-5x5",
)
EMPTY = replace(
    _SOURCE,
    source="rlt/EmptyRandom-6x6-v0",
    summary="reach the goal in an empty 6x6 room, from anywhere",
    kwargs={"room": "EmptyEnv", "size": 6, "agent_start_pos": None},
)
UNLOCK = replace(
    _SOURCE,
    source="rlt/Unlock-v0",
    summary="fetch a key and open a door",
    kwargs={"room": "UnlockEnv"},
)
LAVA = replace(
    _SOURCE,
    source="rlt/LavaGapS5-v0",
    summary="reach the goal through a gap in lava; 5x5",
    kwargs={"room": "LavaGapEnv", "size": 5},
)

DOORKEY_VARIANTS = (
    Variant(
        id="rlt/DoorKey-6x6-v0",
        pair="doorkey-6x6",
        summary="fetch a key, open the door, reach the goal; 6x6",
        shift="layout",
        expect="help",
        why="the same chain of key, door and goal in a slightly larger room",
        kwargs={"room": "DoorKeyEnv", "size": 6},
        differs_by=0,
    ),
    Variant(
        id="rlt/DoorKey-8x8-v0",
        pair="doorkey-8x8",
        summary="fetch a key, open the door, reach the goal; 8x8",
        shift="layout",
        expect="help",
        why="the same chain, but so long that scratch hardly ever stumbles on the goal",
        kwargs={"room": "DoorKeyEnv", "size": 8},
        steps=200_000,
        differs_by=0,
    ),
)
EMPTY_VARIANTS = (
    Variant(
        id="rlt/FourRooms-v0",
        pair="empty-fourrooms",
        summary="reach the goal through four rooms",
        shift="layout",
        expect="help",
        why="walking to a goal in view is the same skill; finding the gaps between rooms is new",
        kwargs={"room": "FourRoomsEnv"},
        steps=300_000,
        differs_by=0,
    ),
)
UNLOCK_VARIANTS = (
    Variant(
        id="rlt/UnlockPickup-v0",
        pair="unlock-unlockpickup",
        summary="fetch a key, open a door, pick up the box behind it",
        shift="layout",
        expect="help",
        why="the source does the first half, which scratch must find before it sees any reward",
        kwargs={"room": "UnlockPickupEnv"},
        steps=200_000,
        differs_by=0,
    ),
)
LAVA_VARIANTS = (
    Variant(
        id="rlt/LavaGapS7-v0",
        pair="lavagap-s7",
        summary="reach the goal through a gap in lava; 7x7",
        shift="layout",
        expect="help",
        why="the same gap and goal in a larger room: the way around lava stays the same",
        kwargs={"room": "LavaGapEnv", "size": 7},
        differs_by=0,
    ),
)


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
