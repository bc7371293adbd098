"""CartPole, a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from numpy.typing import NDArray

from rltransfer_envs.cartpole import REACH
from rltransfer_envs.vectorized.arguments import (
    PerEnv,
    StepLimit,
    finite,
    positive,
    require_length,
)
from rltransfer_envs.vectorized.base import Bools, ClassicControl, Floats

# Where an episode ends: the cart's position in m, and the pole's angle in rad (12 degrees).
_X_LIMIT = 2.4
_THETA_LIMIT = 12 * 2 * math.pi / 360


class VectorCartPole(ClassicControl):
    """Gymnasium's CartPole (Barto, Sutton and Anderson 1983), vectorised.

    Args:
        num_envs: Number of environments.
        max_episode_steps: See :class:`ClassicControl`.
        gravity: In m/s^2. This and the others: one number, or one per environment.
        masscart: In kg.
        masspole: In kg.
        length: Half the pole's length, in m.
        force_mag: Push of one action, in N; a negative one swaps the actions.
        tau: Seconds between two actions.
        goal: Where the cart should be, in m; see :class:`rltransfer_envs.cartpole.CartPole`.

    Attributes:
        force_mag: Push of each environment's next action, in N, shape (num_envs,).

    Raises:
        BadArgument: A mass, a length or tau is not above 0, a number is not finite, or there are
            not as many as environments.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: StepLimit = None,
        gravity: PerEnv = 9.8,
        masscart: PerEnv = 1.0,
        masspole: PerEnv = 0.1,
        length: PerEnv = 0.5,
        force_mag: PerEnv = 10.0,
        tau: PerEnv = 0.02,
        goal: PerEnv | Sequence[float | None] | None = None,
    ) -> None:
        high = np.array([_X_LIMIT * 2, np.inf, _THETA_LIMIT * 2, np.inf], dtype=np.float32)
        super().__init__(
            num_envs,
            max_episode_steps=max_episode_steps,
            observation_space=spaces.Box(-high, high, dtype=np.float32),
            action_space=spaces.Discrete(2),
            state_size=4,
        )
        parts = positive(num_envs, masscart=masscart, masspole=masspole, length=length, tau=tau)
        cart, self._masspole, self._length, self._tau = map(np.array, parts)
        self._gravity, self.force_mag = map(
            np.array, finite(num_envs, gravity=gravity, force_mag=force_mag)
        )
        self._set_goals(goal if isinstance(goal, Sequence | np.ndarray) else [goal] * num_envs)
        self._total_mass = self._masspole + cart
        self._polemass_length = self._masspole * self._length
        self._ones = np.ones(num_envs)

    def _set_goals(self, goals: Sequence[float | None] | NDArray[Any]) -> None:
        require_length("goal", len(goals), self.num_envs)
        self._aims = np.array([goal is not None for goal in goals])
        (numbers,) = finite(self.num_envs, goal=[goal or 0.0 for goal in goals])
        self._goals = np.array(numbers)

    def _advance(self, actions: NDArray[Any]) -> tuple[Floats, Bools]:
        x, x_dot, theta, theta_dot = self._state
        force = np.where(actions, self.force_mag, -self.force_mag)
        cos, sin = np.cos(theta), np.sin(theta)
        pole, mass, tau = self._polemass_length, self._total_mass, self._tau
        temp = (force + pole * (theta_dot * theta_dot) * sin) / mass
        theta_acc = (self._gravity * sin - cos * temp) / (
            self._length * (4.0 / 3.0 - self._masspole * (cos * cos) / mass)
        )
        x_acc = temp - pole * theta_acc * cos / mass
        # Explicit Euler: positions move by the velocities before this step.
        x += tau * x_dot
        x_dot += tau * x_acc
        theta += tau * theta_dot
        theta_dot += tau * theta_acc
        fallen = (np.abs(x) > _X_LIMIT) | (np.abs(theta) > _THETA_LIMIT)
        return self._rewards(x), fallen

    def _rewards(self, x: Floats) -> Floats:
        if not self._aims.any():
            return self._ones.copy()
        near = np.maximum(0.0, 1.0 - np.abs(x - self._goals) / REACH)
        return np.where(self._aims, near, 1.0)

    def _observe(self, state: Floats) -> NDArray[np.float32]:
        return state.T.astype(np.float32, order="C")

    def _draw(self, generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
        low, high = maybe_parse_reset_bounds(options, -0.05, 0.05)
        return generator.uniform(low=low, high=high, size=(4,))
