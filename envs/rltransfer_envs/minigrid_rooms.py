"""The MiniGrid rooms, and what transfer between them should do."""

from __future__ import annotations

from dataclasses import replace

from rltransfer_envs.family import Family, Variant

_GOAL = "get to the green goal square"
_DOORKEY = "use the key to open the door and then get to the goal"
_LAVA = "avoid the lava and get to the green goal square"

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
    mission=_DOORKEY,
    agent="doorkey-5x5",
)
EMPTY = replace(
    _SOURCE,
    source="rlt/EmptyRandom-6x6-v0",
    summary="reach the goal in an empty 6x6 room, from anywhere",
    kwargs={"room": "EmptyEnv", "size": 6, "agent_start_pos": None},
    mission=_GOAL,
)
UNLOCK = replace(
    _SOURCE,
    source="rlt/Unlock-v0",
    summary="fetch a key and open a door",
    kwargs={"room": "UnlockEnv"},
    mission="open the door",
)
LAVA = replace(
    _SOURCE,
    source="rlt/LavaGapS5-v0",
    summary="reach the goal through a gap in lava; 5x5",
    kwargs={"room": "LavaGapEnv", "size": 5},
    mission=_LAVA,
)
REDBLUE = replace(
    _SOURCE,
    source="rlt/RedBlueDoors-6x6-v0",
    summary="open the red door, then the blue door; 6x6",
    kwargs={"room": "RedBlueDoorEnv", "size": 6},
    mission="open the red door then the blue door",
)
MEMORY = replace(
    _SOURCE,
    source="rlt/MemoryS11-v0",
    summary="see an object, walk down a hallway, turn to the same object; 11x11",
    kwargs={"room": "MemoryEnv", "size": 11},
    mission="go to the matching object at the end of the hallway",
)
# The same room in each episode, which scratch learns in 25,000 steps: no target for a pair.
DISTSHIFT = replace(
    _SOURCE,
    source="rlt/DistShift1-v0",
    summary="reach the goal around two strips of lava; 9x7",
    kwargs={"room": "DistShiftEnv", "strip2_row": 2},
    mission=_GOAL,
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
        mission=_DOORKEY,
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
        mission=_DOORKEY,
        steps=200_000,
        differs_by=0,
    ),
    Variant(
        id="rlt/MultiRoom-N2-S4-v0",
        pair="doorkey-multiroom",
        summary="open the door between two small rooms, reach the goal",
        shift="layout",
        expect="help",
        why="opening a door and walking on to the goal is the same; no key is needed",
        kwargs={
            "room": "MultiRoomEnv",
            "minNumRooms": 2,
            "maxNumRooms": 2,
            "maxRoomSize": 4,
        },
        mission="traverse the rooms to get to the goal",
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
        mission="reach the goal",
        steps=300_000,
        differs_by=0,
    ),
    Variant(
        id="rlt/SimpleCrossingS9N2-v0",
        pair="empty-crossing",
        summary="reach the goal through the openings of two walls; 9x9",
        shift="layout",
        expect="help",
        why="walking to a goal in view is the same skill; finding the openings in walls is new",
        kwargs={
            "room": "CrossingEnv",
            "size": 9,
            "num_crossings": 2,
            "obstacle_type": "wall",
        },
        mission="find the opening and get to the green goal square",
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
        # No mission: it names the color of the box, which each episode draws.
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
        mission=_LAVA,
        differs_by=0,
    ),
)
