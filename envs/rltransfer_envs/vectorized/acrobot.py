"""Acrobot, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from numpy.typing import NDArray

from rltransfer_envs.vectorized.arguments import PerEnv, StepLimit, positive, require_length
from rltransfer_envs.vectorized.base import Bools, ClassicControl, Floats
from rltransfer_envs.vectorized.numerics import scalar_square

_GRAVITY = 9.8
_DT = 0.2
_MAX_VELOCITIES = np.array([[4 * pi], [9 * pi]])


class VectorAcrobot(ClassicControl):
    """Gymnasium's Acrobot (Sutton 1996; Sutton and Barto 2018, section 11.3), vectorised.

    Args:
        num_envs: Number of environments.
        max_episode_steps: See :class:`ClassicControl`.
        mass_1: Mass of the first link, in kg. This and the others: one number, or one per
            environment.
        mass_2: Mass of the second link, in kg.
        length_1: Length of the first link, in m.
        com_1: Distance of the first link's center of mass from its joint, in m; half of
            ``length_1`` where None.
        com_2: The same of the second link.
        moi: Moment of inertia of either link, in kg m^2.
        torque: Motor torque of the outer actions, in N m.

    Raises:
        BadArgument: A number is not above 0, or there are not as many as environments.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: StepLimit = None,
        mass_1: PerEnv = 1.0,
        mass_2: PerEnv = 1.0,
        length_1: PerEnv = 1.0,
        com_1: PerEnv | Sequence[float | None] | None = None,
        com_2: PerEnv = 0.5,
        moi: PerEnv = 1.0,
        torque: PerEnv = 1.0,
    ) -> None:
        high = np.array([1.0, 1.0, 1.0, 1.0, 4 * pi, 9 * pi], dtype=np.float32)
        super().__init__(
            num_envs,
            max_episode_steps=max_episode_steps,
            observation_space=spaces.Box(-high, high, dtype=np.float32),
            action_space=spaces.Discrete(3),
            state_size=4,
        )
        m1, m2, l1 = positive(num_envs, mass_1=mass_1, mass_2=mass_2, length_1=length_1)
        lc2, inertia, motor = positive(num_envs, com_2=com_2, moi=moi, torque=torque)
        given = com_1 if isinstance(com_1, Sequence | np.ndarray) else [com_1] * num_envs
        require_length("com_1", len(given), num_envs)
        centers = [
            length / 2 if com is None else com for com, length in zip(given, l1, strict=True)
        ]
        (lc1,) = positive(num_envs, com_1=centers)
        self._set_constants(m1, m2, l1, lc1, lc2)
        self._moi, self._torque = np.array(inertia), np.array(motor)

    def _set_constants(self, *links: list[float]) -> None:
        """Combine the constants as the scalar equations do: Python's floats, in their order."""
        combined = [
            (
                m1 * lc1**2,
                m2,
                l1**2 + lc2**2,
                2 * l1 * lc2,
                lc2**2,
                l1 * lc2,
                m2 * lc2 * _GRAVITY,
                m2 * l1 * lc2,
                2 * m2 * l1 * lc2,
                (m1 * lc1 + m2 * l1) * _GRAVITY,
                m2 * lc2**2,
            )
            for m1, m2, l1, lc1, lc2 in zip(*links, strict=True)
        ]
        self._constants = tuple(np.array(combined).T.copy())

    def _advance(self, actions: NDArray[Any]) -> tuple[Floats, Bools]:
        torque = (actions - 1) * self._torque
        # One step of the classical Runge-Kutta method.
        y, dt = self._state, _DT
        k1 = self._derivatives(y, torque)
        k2 = self._derivatives(y + dt / 2.0 * k1, torque)
        k3 = self._derivatives(y + dt / 2.0 * k2, torque)
        k4 = self._derivatives(y + dt * k3, torque)
        y += dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        _wrap_angles(y[:2])
        np.clip(y[2:], -_MAX_VELOCITIES, _MAX_VELOCITIES, out=y[2:])
        terminations = -np.cos(y[0]) - np.cos(y[1] + y[0]) > 1.0
        return np.where(terminations, 0.0, -1.0), terminations

    def _derivatives(self, state: Floats, torque: Floats) -> Floats:
        """Return the time derivative of the state, shape (4, num_envs): the book's equations."""
        theta_1, theta_2, rate_1, rate_2 = state
        c0, m2, c2, c3, c4, c5, c6, c7, c8, c9, c10 = self._constants
        cos, sin, moi = np.cos(theta_2), np.sin(theta_2), self._moi
        square_1, square_2 = scalar_square(state[2:])
        d1 = c0 + m2 * (c2 + c3 * cos) + moi + moi
        d2 = m2 * (c4 + c5 * cos) + moi
        phi_2 = c6 * np.cos(theta_1 + theta_2 - pi / 2.0)
        phi_1 = (
            -c7 * square_2 * sin
            - c8 * rate_2 * rate_1 * sin
            + c9 * np.cos(theta_1 - pi / 2)
            + phi_2
        )
        acc_2 = (torque + d2 / d1 * phi_1 - c7 * square_1 * sin - phi_2) / (
            c10 + moi - scalar_square(d2) / d1
        )
        acc_1 = -(d2 * acc_2 + phi_1) / d1
        return np.array((rate_1, rate_2, acc_1, acc_2))

    def _observe(self, state: Floats) -> NDArray[np.float32]:
        return _observation(state)

    def _observe_initial(self, state: Floats) -> NDArray[np.float32]:
        # The scalar environment draws its state in float32, and takes cosines of that in float32.
        return _observation(state.astype(np.float32))

    def _draw(self, generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
        low, high = maybe_parse_reset_bounds(options, -0.1, 0.1)
        drawn = generator.uniform(low=low, high=high, size=(4,))
        return drawn.astype(np.float32).astype(np.float64)


def _wrap_angles(angles: Floats) -> None:
    """Bring angles into [-pi, pi] in place, a turn at a time as the scalar environment does."""
    while np.count_nonzero(over := angles > pi):
        angles[over] -= 2 * pi
    while np.count_nonzero(under := angles < -pi):
        angles[under] += 2 * pi


def _observation(state: NDArray[Any]) -> NDArray[np.float32]:
    observation = np.empty((state.shape[1], 6), dtype=np.float32)
    observation[:, 0:4:2] = np.cos(state[:2]).T
    observation[:, 1:4:2] = np.sin(state[:2]).T
    observation[:, 4:] = state[2:].T
    return observation
