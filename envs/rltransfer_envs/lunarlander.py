"""LunarLander with other gravity, wind and engines (extra ``box2d``)."""

from __future__ import annotations

from rltransfer_envs.family import Family, Variant
from rltransfer_envs.wrappers import PermuteActions, wrapper

FAMILY = Family(
    name="lunarlander",
    source="LunarLander-v3",
    summary="land a rocket between two flags",
    entry_point="gymnasium.envs.box2d.lunar_lander:LunarLander",
    max_episode_steps=1000,
    steps=200_000,
    agent="lunarlander",
    extra="box2d",
)

VARIANTS = (
    Variant(
        id="rlt/LunarLanderLight-v0",
        pair="lunarlander-light",
        summary="gravity -6 instead of -10",
        shift="dynamics",
        expect="help",
        why="weaker gravity leaves more time; the source only has to brake less",
        kwargs={"gravity": -6.0},
        differs_by=0,
    ),
    Variant(
        id="rlt/LunarLanderHeavy-v0",
        pair="lunarlander-heavy",
        summary="gravity -11.5 instead of -10",
        shift="dynamics",
        expect="help",
        why="stronger gravity asks for earlier braking, everything else about landing stays",
        kwargs={"gravity": -11.5},
        differs_by=0,
    ),
    Variant(
        id="rlt/LunarLanderWindy-v0",
        pair="lunarlander-windy",
        summary="wind 15, turbulence 1.5",
        shift="dynamics",
        expect="help",
        why="gusts push and turn the lander; the source knows how to land and to steer back",
        kwargs={"enable_wind": True, "wind_power": 15.0, "turbulence_power": 1.5},
        differs_by=0,
    ),
    Variant(
        id="rlt/LunarLanderContinuous-v0",
        pair="lunarlander-continuous",
        summary="engines with a throttle",
        shift="action",
        expect="help",
        why="two throttles replace four buttons: the head is new, what the source sees stays right",
        kwargs={"continuous": True},
        differs_by=0,
    ),
    Variant(
        id="rlt/LunarLanderInverted-v0",
        pair="lunarlander-inverted",
        summary="left and right engine swapped",
        shift="action",
        expect="hurt",
        why="with the side engines swapped the source tips itself over when it corrects",
        wrappers=(wrapper(PermuteActions, permutation=[0, 3, 2, 1]),),
    ),
)


def register() -> None:
    """Register the family."""
    FAMILY.register(VARIANTS)
