"""Pendulum with other physics, and with a motor that turns the wrong way."""

from __future__ import annotations

from gymnasium.envs.classic_control.pendulum import PendulumEnv

from rltransfer_envs.family import Family, Variant, require_finite, require_positive
from rltransfer_envs.wrappers import FlipActions, wrapper


class Pendulum(PendulumEnv):
    """Gymnasium's Pendulum, whose physical constants are arguments.

    Args:
        g: Gravity, in m/s^2.
        mass: In kg.
        length: In m.
        render_mode: See Gymnasium.

    Raises:
        BadArgument: Mass or length is not above 0, or a number is not finite.
    """

    def __init__(
        self,
        *,
        g: float = 10.0,
        mass: float = 1.0,
        length: float = 1.0,
        render_mode: str | None = None,
    ) -> None:
        require_positive(mass=mass, length=length)
        require_finite(g=g)
        super().__init__(render_mode=render_mode, g=g)
        self.m = mass
        self.l = length


FAMILY = Family(
    name="pendulum",
    source="Pendulum-v1",
    summary="swing a pendulum up and hold it",
    entry_point="rltransfer_envs.pendulum:Pendulum",
    max_episode_steps=200,
    steps=50_000,
    agent="pendulum",
)

VARIANTS = (
    Variant(
        id="rlt/PendulumLight-v0",
        pair="pendulum-light",
        summary="half the gravity",
        shift="dynamics",
        expect="help",
        why="at 5 m/s^2 the same swing-up needs fewer swings and is easier to hold",
        kwargs={"g": 5.0},
    ),
    Variant(
        id="rlt/PendulumStrongGravity-v0",
        pair="pendulum-strong-gravity",
        summary="14 m/s^2 instead of 10",
        shift="dynamics",
        expect="help",
        why="swing-up takes more swings, yet pumping in the direction of motion stays right",
        kwargs={"g": 14.0},
    ),
    Variant(
        id="rlt/PendulumHeavy-v0",
        pair="pendulum-heavy",
        summary="1.5 times the mass",
        shift="dynamics",
        expect="help",
        why="the motor does a third less to a heavier bob; directions stay, swing-up takes longer",
        kwargs={"mass": 1.5},
    ),
    Variant(
        id="rlt/PendulumLong-v0",
        pair="pendulum-long",
        summary="1.3 times the length",
        shift="dynamics",
        expect="help",
        why="a longer pendulum swings more slowly and feels the motor less; directions stay",
        kwargs={"length": 1.3},
    ),
    Variant(
        id="rlt/PendulumFlipped-v0",
        pair="pendulum-flipped",
        summary="the motor turns the other way",
        shift="action",
        expect="hurt",
        why="with the sign of the torque flipped, the source brakes where it should pump",
        wrappers=(wrapper(FlipActions),),
    ),
)


def register() -> None:
    """Register the family."""
    FAMILY.register(VARIANTS)
