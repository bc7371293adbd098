"""FrozenLake with other maps and other ice; Gymnasium's own class takes all of it as arguments."""

from __future__ import annotations

from rltransfer_envs.family import Family, Variant

FAMILY = Family(
    name="frozenlake",
    source="FrozenLake-v1",
    summary="cross slippery ice between holes on a 4x4 map",
    entry_point="gymnasium.envs.toy_text.frozen_lake:FrozenLakeEnv",
    max_episode_steps=100,
    steps=30_000,
)

VARIANTS = (
    Variant(
        id="rlt/FrozenLakeMovedHole-v0",
        pair="frozenlake-moved-hole",
        summary="one hole of the 4x4 map moved",
        shift="layout",
        expect="help",
        why="a hole off the usual way moves up by a cell; the careful way across stays the same",
        kwargs={"desc": ["SFFH", "FHFF", "FFFH", "HFFG"]},
        # Random steps reach the moved hole, or the cell it left, that late.
        differs_by=20,
    ),
    Variant(
        id="rlt/FrozenLakeIcy-v0",
        pair="frozenlake-icy",
        summary="steps go where they should 1 in 5 times instead of 1 in 3",
        shift="dynamics",
        expect="help",
        why="slips are more frequent; steering away from holes, as the source does, matters more",
        kwargs={"map_name": "4x4", "success_rate": 0.2},
        # The same draw of the generator leads to the same cell until a slip tells them apart.
        differs_by=10,
    ),
    Variant(
        id="rlt/FrozenLakeDry-v0",
        pair="frozenlake-dry",
        summary="no slipping",
        shift="dynamics",
        expect="hurt",
        why="the careful source steers into walls and lets itself slip; on dry ice it stands still",
        kwargs={"map_name": "4x4", "is_slippery": False},
        # Until the first slip of the base.
        differs_by=5,
    ),
    Variant(
        id="rlt/FrozenLakeMirrored-v0",
        pair="frozenlake-mirrored",
        summary="the 4x4 map, mirrored left to right",
        shift="layout",
        expect="hurt",
        why="start, goal and holes swap sides, so the source's moves lead into holes",
        kwargs={"desc": ["FFFS", "HFHF", "HFFF", "GFFH"]},
        differs_by=0,
    ),
    Variant(
        id="FrozenLake8x8-v1",
        pair="frozenlake-8x8",
        summary="cross slippery ice between holes on an 8x8 map",
        shift="layout",
        expect="hurt",
        why="64 cells instead of 16: a cell number means another place, so padded weights mislead",
        differs_by=0,
    ),
)


def register() -> None:
    """Register the family."""
    FAMILY.register(VARIANTS)
