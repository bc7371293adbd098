"""MountainCar, discrete and continuous, with other hills and other engines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium.envs.classic_control.continuous_mountain_car import Continuous_MountainCarEnv
from gymnasium.envs.classic_control.mountain_car import MountainCarEnv

from rltransfer_envs.family import Family, Variant, require_finite, require_positive
from rltransfer_envs.wrappers import FlipActions, PermuteActions, wrapper

# What Continuous_MountainCarEnv.step() has written into its equation of motion.
_STOCK_GRAVITY = 0.0025


class MountainCar(MountainCarEnv):
    """Gymnasium's MountainCar, whose physical constants are arguments.

    Args:
        force: Acceleration by the engine, in position units per step^2.
        gravity: Acceleration by the steepest slope, in the same unit.
        render_mode: See Gymnasium.

    Raises:
        BadArgument: ``force`` is not above 0, or a number is not finite.
    """

    def __init__(
        self, *, force: float = 0.001, gravity: float = 0.0025, render_mode: str | None = None
    ) -> None:
        require_positive(force=force)
        require_finite(gravity=gravity)
        super().__init__(render_mode=render_mode)
        self.force = force
        self.gravity = gravity


class MountainCarContinuous(Continuous_MountainCarEnv):
    """Gymnasium's MountainCarContinuous, whose physical constants are arguments.

    Args:
        power: Acceleration at full throttle, in position units per step^2.
        gravity: Acceleration by the steepest slope, in the same unit.
        render_mode: See Gymnasium.

    Raises:
        BadArgument: ``power`` is not above 0, or a number is not finite.
    """

    def __init__(
        self, *, power: float = 0.0015, gravity: float = 0.0025, render_mode: str | None = None
    ) -> None:
        require_positive(power=power)
        require_finite(gravity=gravity)
        super().__init__(render_mode=render_mode)
        self.power = power
        self.gravity = gravity

    def step(self, action: Any) -> Any:
        """Advance one step, under this instance's gravity."""
        # The stock step adds the stock gravity to the velocity before anything else reads it, so
        # adding the difference first gives the equation of motion with the gravity asked for.
        position, velocity = self.state
        slope = math.cos(3 * position)
        self.state = np.array([position, velocity - (self.gravity - _STOCK_GRAVITY) * slope])
        return super().step(action)


DISCRETE = Family(
    name="mountaincar",
    source="MountainCar-v0",
    summary="rock an underpowered car up a hill; -1 a step",
    entry_point="rltransfer_envs.mountaincar:MountainCar",
    max_episode_steps=200,
    steps=100_000,
)

DISCRETE_VARIANTS = (
    Variant(
        id="rlt/MountainCarWeak-v0",
        pair="mountaincar-weak",
        summary="20 % less force",
        shift="dynamics",
        expect="help",
        why="more swings are needed, but pushing along the motion is what scratch rarely discovers",
        kwargs={"force": 0.0008},
    ),
    Variant(
        id="rlt/MountainCarSteep-v0",
        pair="mountaincar-steep",
        summary="gravity 0.003 instead of 0.0025",
        shift="dynamics",
        expect="help",
        why="the hill pulls harder; pushing along the motion still reaches the top",
        kwargs={"gravity": 0.003},
    ),
    Variant(
        id="rlt/MountainCarSwapped-v0",
        pair="mountaincar-swapped",
        summary="left is right",
        shift="action",
        expect="hurt",
        why="with swapped actions the source brakes at every swing and never sees the goal",
        wrappers=(wrapper(PermuteActions, permutation=[2, 1, 0]),),
    ),
)

CONTINUOUS = Family(
    name="mountaincar-continuous",
    source="MountainCarContinuous-v0",
    summary="rock an underpowered car up a hill; +100 at the top, throttle costs",
    entry_point="rltransfer_envs.mountaincar:MountainCarContinuous",
    max_episode_steps=999,
    steps=30_000,
    agent="mountaincar-continuous",
)

CONTINUOUS_VARIANTS = (
    Variant(
        id="rlt/MountainCarContinuousWeak-v0",
        pair="mountaincar-continuous-weak",
        summary="a third less power",
        shift="dynamics",
        expect="help",
        why="more swings are needed, but the source knows to swing, which scratch must find",
        kwargs={"power": 0.001},
    ),
    Variant(
        id="rlt/MountainCarContinuousSteep-v0",
        pair="mountaincar-continuous-steep",
        summary="gravity 0.0035 instead of 0.0025",
        shift="dynamics",
        expect="help",
        why="the hill pulls harder; swinging along the motion still reaches the top",
        kwargs={"gravity": 0.0035},
    ),
    Variant(
        id="rlt/MountainCarContinuousFlipped-v0",
        pair="mountaincar-continuous-flipped",
        summary="the throttle is reversed",
        shift="action",
        expect="hurt",
        why="with the force flipped the source brakes at every swing and never sees the goal",
        wrappers=(wrapper(FlipActions),),
    ),
)


def register() -> None:
    """Register both families."""
    DISCRETE.register(DISCRETE_VARIANTS)
    CONTINUOUS.register(CONTINUOUS_VARIANTS)
