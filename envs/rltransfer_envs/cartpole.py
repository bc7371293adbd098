"""CartPole with other physics, sensors, buttons and rewards."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rltransfer_envs.family import Family, Variant, require_finite, require_positive
from rltransfer_envs.wrappers import (
    NoisyObservation,
    OffsetObservation,
    PermuteActions,
    PermuteObservation,
    PushContinuously,
    ScaleObservation,
    wrapper,
)

REACH = 2.4
"""Distance from a goal, in m, at which there is no reward any more."""


class CartPole(CartPoleEnv):
    """Gymnasium's CartPole, whose physical constants are arguments.

    Args:
        gravity: In m/s^2.
        masscart: In kg.
        masspole: In kg.
        length: Half the pole's length, in m.
        force_mag: Push of one action, in N; a negative one swaps the actions.
        tau: Seconds between two actions.
        goal: Where the cart should be, in m: a step is worth 1 there, and less in proportion to the
            distance, down to 0 at 2.4 m. None for 1 a step anywhere.
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
        goal: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        require_positive(masscart=masscart, masspole=masspole, length=length, tau=tau)
        require_finite(gravity=gravity, force_mag=force_mag, goal=goal or 0.0)
        super().__init__(render_mode=render_mode)
        self.gravity = gravity
        self.masscart = masscart
        self.masspole = masspole
        self.length = length
        self.force_mag = force_mag
        self.tau = tau
        self.goal = goal
        # Gymnasium derives these once, in its constructor, and step() reads nothing else.
        self.total_mass = masspole + masscart
        self.polemass_length = masspole * length

    def step(self, action: Any) -> Any:
        """Advance one step, and reward being near the goal, if there is one."""
        observation, reward, *rest = super().step(action)
        if self.goal is not None and self.state is not None:
            reward *= max(0.0, 1.0 - abs(float(self.state[0]) - self.goal) / REACH)
        return observation, reward, *rest


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
    Variant(
        id="rlt/CartPoleScaled-v0",
        pair="cartpole-scaled",
        summary="every sensor in other units",
        shift="observation",
        expect="help",
        why="factors of 0.3 to 3 on each sensor keep all signs; rescaled weights undo them",
        wrappers=(wrapper(ScaleObservation, scale=[3.0, 0.5, 2.0, 0.3]),),
        differs_by=0,
    ),
    Variant(
        id="rlt/CartPoleNoisy-v0",
        pair="cartpole-noisy",
        summary="every sensor is noisy",
        shift="observation",
        expect="help",
        why="noise blurs what the source sees, but what it does about it stays right on average",
        wrappers=(wrapper(NoisyObservation, std=[0.05, 0.15, 0.02, 0.15]),),
        differs_by=0,
    ),
    Variant(
        id="rlt/CartPoleRight-v0",
        pair="cartpole-right",
        summary="reward is largest with the cart 1.2 m to the right",
        shift="reward",
        expect="help",
        why="balancing earns half of the reward where the source stays; the rest is a short drive",
        kwargs={"goal": 1.2},
    ),
    Variant(
        id="rlt/CartPoleContinuous-v0",
        pair="cartpole-continuous",
        summary="pushes of any strength instead of left or right",
        shift="action",
        expect="help",
        why="the features of a balanced pole remain; only what they do to the cart is learnt anew",
        wrappers=(wrapper(PushContinuously),),
    ),
)


def register() -> None:
    """Register the family."""
    FAMILY.register(VARIANTS)
