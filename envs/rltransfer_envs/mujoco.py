"""MuJoCo robots with another world, body, motor or goal (extra ``mujoco``)."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from rltransfer_envs.family import Family, Variant, require_positive

CHEETAH_CLASS = "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv"
HOPPER_CLASS = "gymnasium.envs.mujoco.hopper_v5:HopperEnv"

CHEETAH = Family(
    name="halfcheetah",
    source="HalfCheetah-v5",
    summary="run forward on two legs",
    entry_point="rltransfer_envs.mujoco:altered",
    max_episode_steps=1000,
    steps=200_000,
    extra="mujoco",
)

CHEETAH_VARIANTS = (
    Variant(
        id="rlt/HalfCheetahLight-v0",
        pair="halfcheetah-light",
        summary="half the gravity",
        shift="dynamics",
        expect="help",
        why="the gait has longer flights under half the gravity, but the legs move alike",
        kwargs={"robot": CHEETAH_CLASS, "gravity": 0.5},
    ),
    Variant(
        id="rlt/HalfCheetahSlippery-v0",
        pair="halfcheetah-slippery",
        summary="30 % of the friction",
        shift="dynamics",
        expect="help",
        why="feet slip where they used to grip; the gait must become softer, not another one",
        kwargs={"robot": CHEETAH_CLASS, "friction": 0.3},
    ),
    Variant(
        id="rlt/HalfCheetahHeavy-v0",
        pair="halfcheetah-heavy",
        summary="every body 1.5 times as heavy",
        shift="dynamics",
        expect="help",
        why="the same gait with more inertia runs more slowly",
        kwargs={"robot": CHEETAH_CLASS, "mass": 1.5},
    ),
    Variant(
        id="rlt/HalfCheetahWeak-v0",
        pair="halfcheetah-weak",
        summary="half the actuator gear",
        shift="dynamics",
        expect="help",
        why="half the torque per command: the same gait, with stronger commands",
        kwargs={"robot": CHEETAH_CLASS, "gear": 0.5},
    ),
    Variant(
        id="rlt/HalfCheetahCrippled-v0",
        pair="halfcheetah-crippled",
        summary="the back thigh's motor is dead",
        shift="dynamics",
        expect="help",
        why="five of six motors still do what the source expects; the back leg must be relearned",
        kwargs={"robot": CHEETAH_CLASS, "dead": "bthigh"},
    ),
    Variant(
        id="rlt/HalfCheetahBackward-v0",
        pair="halfcheetah-backward",
        summary="run backward",
        shift="reward",
        expect="hurt",
        why="the reward for running is negated: the better the source runs, the worse it starts",
        entry_point=CHEETAH_CLASS,
        kwargs={"forward_reward_weight": -1.0},
    ),
)

HOPPER = Family(
    name="hopper",
    source="Hopper-v5",
    summary="hop forward on one leg without falling",
    entry_point="rltransfer_envs.mujoco:altered",
    max_episode_steps=1000,
    steps=200_000,
    extra="mujoco",
)

HOPPER_VARIANTS = (
    Variant(
        id="rlt/HopperLight-v0",
        pair="hopper-light",
        summary="70 % of the gravity",
        shift="dynamics",
        expect="help",
        why="hops last longer under weaker gravity; balance works alike",
        kwargs={"robot": HOPPER_CLASS, "gravity": 0.7},
    ),
    Variant(
        id="rlt/HopperHeavy-v0",
        pair="hopper-heavy",
        summary="every body 1.3 times as heavy",
        shift="dynamics",
        expect="help",
        why="the same hop with more inertia; balance works alike",
        kwargs={"robot": HOPPER_CLASS, "mass": 1.3},
    ),
)


def altered(
    *,
    robot: str,
    gravity: float = 1.0,
    friction: float = 1.0,
    mass: float = 1.0,
    gear: float = 1.0,
    dead: str | None = None,
    **kwargs: Any,
) -> gym.Env:
    """Make a MuJoCo environment and change its own model, which stays changed over resets.

    Args:
        robot: Class of the environment, as ``module:name``.
        gravity: Factor on gravity.
        friction: Factor on the sliding friction of every geom.
        mass: Factor on mass and inertia of every body.
        gear: Factor on the gear of every actuator.
        dead: Name of an actuator that does nothing any more.
        kwargs: Arguments of the class.

    Raises:
        BadArgument: A factor is not above 0.
    """
    require_positive(gravity=gravity, friction=friction, mass=mass, gear=gear)
    env: Any = load_env_creator(robot)(**kwargs)
    # Imported here, so that the family can be registered without the extra.
    mujoco: Any = importlib.import_module("mujoco")
    model = env.unwrapped.model
    model.opt.gravity[:] *= gravity
    model.geom_friction[:, 0] *= friction
    model.body_mass[:] *= mass
    model.body_inertia[:] *= mass
    model.actuator_gear[:] *= gear
    if dead is not None:
        model.actuator(dead).gear[:] = 0.0
    # Subtree masses and inverse weights are derived from masses, and contacts use them.
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return env


def register() -> None:
    """Register both robots."""
    CHEETAH.register(CHEETAH_VARIANTS)
    HOPPER.register(HOPPER_VARIANTS)
