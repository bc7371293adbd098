"""CartPole with other physics, sensors and buttons."""

from __future__ import annotations

from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rltransfer_envs.family import Family, Variant, require_finite, require_positive
from rltransfer_envs.wrappers import (
    OffsetObservation,
    PermuteActions,
    PermuteObservation,
    wrapper,
)


class CartPole(CartPoleEnv):
    """Gymnasium's CartPole, whose physical constants are arguments.

    Args:
        gravity: In m/s^2.
        masscart: In kg.
        masspole: In kg.
        length: Half the pole's length, in m.
        force_mag: Push of one action, in N; a negative one swaps the actions.
        tau: Seconds between two actions.
        render_mode: See Gymnasium.

    Raises:
        BadArgument: A mass, a length or tau is not above 0, or a number is not finite.
    """

    def __init__(
        self,
        *,
        gravity: float = 9.8,
        masscart: float = 1.0,
        masspole: float = 0.1,
        length: float = 0.5,
        force_mag: float = 10.0,
        tau: float = 0.02,
        render_mode: str | None = None,
    ) -> None:
        require_positive(masscart=masscart, masspole=masspole, length=length, tau=tau)
        require_finite(gravity=gravity, force_mag=force_mag)
        super().__init__(render_mode=render_mode)
        self.gravity = gravity
        self.masscart = masscart
        self.masspole = masspole
        self.length = length
        self.force_mag = force_mag
        self.tau = tau
        # Gymnasium derives these once, in its constructor, and step() reads nothing else.
        self.total_mass = masspole + masscart
        self.polemass_length = masspole * length


FAMILY = Family(
    name="cartpole",
    source="CartPole-v1",
    summary="balance a pole on a cart",
    entry_point="rltransfer_envs.cartpole:CartPole",
    max_episode_steps=500,
    steps=30_000,
    agent="cartpole",
)

VARIANTS = (
    Variant(
        id="rlt/CartPoleLong-v0",
        pair="cartpole-long",
        summary="pole twice as long, 6 N instead of 10",
        shift="dynamics",
        expect="help",
        why="a longer pole falls more slowly, pushes are weaker; the source nearly balances it",
        kwargs={"length": 1.0, "force_mag": 6.0},
    ),
    Variant(
        id="rlt/CartPoleFar-v0",
        pair="cartpole-far",
        summary="pole three times as long, 4 N, stronger gravity",
        shift="dynamics",
        expect="help",
        why="much less control authority: the source fails at once, but what it sees still matters",
        kwargs={"length": 1.5, "force_mag": 4.0, "gravity": 15.0},
    ),
    Variant(
        id="rlt/CartPoleHeavyPole-v0",
        pair="cartpole-heavy-pole",
        summary="pole as heavy as the cart",
        shift="dynamics",
        expect="help",
        why="a pole of 1 kg drags the cart along; the same reactions work, with other strengths",
        kwargs={"masspole": 1.0},
    ),
    Variant(
        id="rlt/CartPoleHeavyCart-v0",
        pair="cartpole-heavy-cart",
        summary="cart four times as heavy",
        shift="dynamics",
        expect="help",
        why="a cart of 4 kg answers pushes slowly; the same reactions work, if they come earlier",
        kwargs={"masscart": 4.0},
    ),
    Variant(
        id="rlt/CartPoleGravity-v0",
        pair="cartpole-gravity",
        summary="twice the gravity",
        shift="dynamics",
        expect="help",
        why="the pole falls faster under 20 m/s^2, but in the same direction for the same reasons",
        kwargs={"gravity": 20.0},
    ),
    Variant(
        id="rlt/CartPoleWeak-v0",
        pair="cartpole-weak",
        summary="2 N instead of 10",
        shift="dynamics",
        expect="help",
        why="a fifth of the force leaves the right direction of each push unchanged",
        kwargs={"force_mag": 2.0},
    ),
    Variant(
        id="rlt/CartPoleSlowControl-v0",
        pair="cartpole-slow-control",
        summary="20 decisions a second instead of 50",
        shift="dynamics",
        expect="help",
        why="each push lasts 2.5 times as long and overshoots; the source balances for a while",
        kwargs={"tau": 0.05},
    ),
    Variant(
        id="rlt/CartPoleOffset-v0",
        pair="cartpole-offset",
        summary="position and angle sensors read too high",
        shift="observation",
        expect="help",
        why="a constant offset is undone by the biases of the first layer, the rest stays right",
        wrappers=(wrapper(OffsetObservation, offset=[0.5, 0.0, 0.1, 0.0]),),
        differs_by=0,
    ),
    Variant(
        id="rlt/CartPoleSwapped-v0",
        pair="cartpole-swapped",
        summary="left is right",
        shift="action",
        expect="hurt",
        why="with swapped actions a confident source always pushes the wrong way",
        wrappers=(wrapper(PermuteActions, permutation=[1, 0]),),
    ),
    Variant(
        id="rlt/CartPolePermuted-v0",
        pair="cartpole-permuted",
        summary="position and angle sensors trade places",
        shift="observation",
        expect="hurt",
        why="the source takes the cart's place for the pole's angle, so its features mislead",
        wrappers=(wrapper(PermuteObservation, permutation=[2, 3, 0, 1]),),
        differs_by=0,
    ),
)


def register() -> None:
    """Register the family."""
    FAMILY.register(VARIANTS)
