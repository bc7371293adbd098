"""Acrobot with other links and other motors.

Gymnasium keeps these constants on the class; here they are set on the instance. Its equations of
motion hold gravity as a literal and never read the length of the second link, and the goal height
is that of two links of 1 m, so none of the three is offered.
"""

from __future__ import annotations

from gymnasium.envs.classic_control.acrobot import AcrobotEnv

from rltransfer_envs.family import Family, Variant, require_positive
from rltransfer_envs.wrappers import PermuteActions, wrapper


class Acrobot(AcrobotEnv):
    """Gymnasium's Acrobot, whose physical constants are arguments.

    Args:
        mass_1: Mass of the first link, in kg.
        mass_2: Mass of the second link, in kg.
        length_1: Length of the first link, in m.
        com_1: Distance of the first link's center of mass from its joint, in m; half of
            ``length_1`` when None.
        com_2: The same of the second link.
        moi: Moment of inertia of either link, in kg m^2.
        torque: Motor torque of the outer actions, in N m.
        render_mode: See Gymnasium.

    Raises:
        BadArgument: A number is not above 0.
    """

    def __init__(
        self,
        *,
        mass_1: float = 1.0,
        mass_2: float = 1.0,
        length_1: float = 1.0,
        com_1: float | None = None,
        com_2: float = 0.5,
        moi: float = 1.0,
        torque: float = 1.0,
        render_mode: str | None = None,
    ) -> None:
        com_1 = length_1 / 2 if com_1 is None else com_1
        require_positive(mass_1=mass_1, mass_2=mass_2, length_1=length_1, com_1=com_1)
        require_positive(com_2=com_2, moi=moi, torque=torque)
        super().__init__(render_mode=render_mode)
        self.LINK_MASS_1 = mass_1
        self.LINK_MASS_2 = mass_2
        self.LINK_LENGTH_1 = length_1
        self.LINK_COM_POS_1 = com_1
        self.LINK_COM_POS_2 = com_2
        self.LINK_MOI = moi
        self.AVAIL_TORQUE = [-torque, 0.0, torque]


FAMILY = Family(
    name="acrobot",
    source="Acrobot-v1",
    summary="swing a double pendulum above the bar",
    entry_point="rltransfer_envs.acrobot:Acrobot",
    max_episode_steps=500,
    steps=50_000,
    agent="acrobot",
)

VARIANTS = (
    Variant(
        id="rlt/AcrobotHeavy-v0",
        pair="acrobot-heavy",
        summary="second link twice as heavy",
        shift="dynamics",
        expect="help",
        why="more mass to lift with the same motor; the rhythm that pumps energy in is alike",
        kwargs={"mass_2": 2.0},
    ),
    Variant(
        id="rlt/AcrobotLong-v0",
        pair="acrobot-long",
        summary="first link 1.5 times as long",
        shift="dynamics",
        expect="help",
        why="a longer first link swings more slowly; the rhythm that pumps energy in is alike",
        kwargs={"length_1": 1.5},
    ),
    Variant(
        id="rlt/AcrobotTopHeavy-v0",
        pair="acrobot-top-heavy",
        summary="second link's center of mass at 0.9 m",
        shift="dynamics",
        expect="help",
        why="mass at the tip is slower to whip around; the same pumping works with another timing",
        kwargs={"com_2": 0.9},
    ),
    Variant(
        id="rlt/AcrobotWeak-v0",
        pair="acrobot-weak",
        summary="half the torque",
        shift="dynamics",
        expect="help",
        why="half the torque needs more swings in the same rhythm; scratch finds the goal rarely",
        kwargs={"torque": 0.5},
    ),
    Variant(
        id="rlt/AcrobotFlipped-v0",
        pair="acrobot-flipped",
        summary="the motor turns the other way",
        shift="action",
        expect="hurt",
        why="with the torque flipped, the source takes energy out instead of putting it in",
        wrappers=(wrapper(PermuteActions, permutation=[2, 1, 0]),),
    ),
)


def register() -> None:
    """Register the family."""
    FAMILY.register(VARIANTS)
