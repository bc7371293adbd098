"""Pendulum, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.pendulum import DEFAULT_X, DEFAULT_Y
from gymnasium.envs.classic_control.utils import verify_number_and_cast
from numpy.typing import NDArray

from rltransfer_envs.vectorized.arguments import PerEnv, StepLimit, finite, positive
from rltransfer_envs.vectorized.base import Bools, ClassicControl, Floats
from rltransfer_envs.vectorized.numerics import scalar_square, scalar_square_single

_MAX_SPEED = 8
_MAX_TORQUE = 2.0
_DT = 0.05


class VectorPendulum(ClassicControl):
    """Gymnasium's Pendulum, vectorised.

    Args:
        num_envs: Number of environments.
        max_episode_steps: See :class:`ClassicControl`.
        g: Gravity, in m/s^2. This and the others: one number, or one per environment.
        mass: In kg.
        length: In m.

    Raises:
        BadArgument: Mass or length is not above 0, a number is not finite, or there are not as
            many as environments.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: StepLimit = None,
        g: PerEnv = 10.0,
        mass: PerEnv = 1.0,
        length: PerEnv = 1.0,
    ) -> None:
        high = np.array([1.0, 1.0, _MAX_SPEED], dtype=np.float32)
        super().__init__(
            num_envs,
            max_episode_steps=max_episode_steps,
            observation_space=spaces.Box(-high, high, dtype=np.float32),
            action_space=spaces.Box(-_MAX_TORQUE, _MAX_TORQUE, shape=(1,), dtype=np.float32),
            state_size=2,
        )
        (gravities,) = finite(num_envs, g=g)
        masses, lengths = positive(num_envs, mass=mass, length=length)
        pairs = zip(gravities, lengths, strict=True)
        self._fall = np.array([3 * gravity / (2 * length) for gravity, length in pairs])
        # In float32, as the torque that it multiplies.
        self._motor = np.array(
            [3.0 / (m * length**2) for m, length in zip(masses, lengths, strict=True)],
            dtype=np.float32,
        )
        self._no_end = np.zeros(num_envs, dtype=np.bool_)

    def _advance(self, actions: NDArray[Any]) -> tuple[Floats, Bools]:
        theta, theta_dot = self._state
        torque = np.clip(actions[:, 0], -_MAX_TORQUE, _MAX_TORQUE)
        angle = (theta + np.pi) % (2 * np.pi) - np.pi
        costs = scalar_square(angle) + 0.1 * scalar_square(theta_dot)
        costs += 0.001 * scalar_square_single(torque)
        speed = theta_dot + (self._fall * np.sin(theta) + self._motor * torque) * _DT
        np.clip(speed, -_MAX_SPEED, _MAX_SPEED, out=theta_dot)
        theta += theta_dot * _DT
        return -costs, self._no_end.copy()

    def _observe(self, state: Floats) -> NDArray[np.float32]:
        observation = np.empty((state.shape[1], 3), dtype=np.float32)
        observation[:, 0] = np.cos(state[0])
        observation[:, 1] = np.sin(state[0])
        observation[:, 2] = state[1]
        return observation

    def _draw(self, generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
        given = options or {}
        bounds = (given.get("x_init", DEFAULT_X), given.get("y_init", DEFAULT_Y))
        high = np.array([verify_number_and_cast(bound) for bound in bounds])
        return generator.uniform(low=-high, high=high)
