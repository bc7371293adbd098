"""MountainCar, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from numpy.typing import NDArray

from rltransfer_envs.vectorized.arguments import PerEnv, StepLimit, finite, positive
from rltransfer_envs.vectorized.base import Bools, ClassicControl, Floats
from rltransfer_envs.vectorized.numerics import scalar_cos

MIN_POSITION = -1.2
MAX_POSITION = 0.6
MAX_SPEED = 0.07
_GOAL = 0.5


class VectorMountainCar(ClassicControl):
    """Gymnasium's MountainCar (Moore 1990), vectorised.

    Args:
        num_envs: Number of environments.
        max_episode_steps: See :class:`ClassicControl`.
        force: Acceleration by the engine, in position units per step^2; one number, or one per
            environment.
        gravity: Acceleration by the steepest slope, in the same unit; likewise.

    Raises:
        BadArgument: ``force`` is not above 0, a number is not finite, or there are not as many as
            environments.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: StepLimit = None,
        force: PerEnv = 0.001,
        gravity: PerEnv = 0.0025,
    ) -> None:
        super().__init__(
            num_envs,
            max_episode_steps=max_episode_steps,
            observation_space=observation_space(),
            action_space=spaces.Discrete(3),
            state_size=2,
        )
        self._force = np.array(positive(num_envs, force=force)[0])
        self._pull = -np.array(finite(num_envs, gravity=gravity)[0])
        self._penalty = np.full(num_envs, -1.0)

    def _advance(self, actions: NDArray[Any]) -> tuple[Floats, Bools]:
        position, velocity = self._state
        velocity += (actions - 1) * self._force + scalar_cos(3 * position) * self._pull
        move(position, velocity)
        return self._penalty.copy(), (position >= _GOAL) & (velocity >= 0)

    def _observe(self, state: Floats) -> NDArray[np.float32]:
        return state.T.astype(np.float32, order="C")

    def _draw(self, generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
        return draw(generator, options)


def observation_space() -> spaces.Box:
    """Return the space of positions and velocities, which both MountainCars share."""
    high = np.array([MAX_POSITION, MAX_SPEED], dtype=np.float32)
    low = np.array([MIN_POSITION, -MAX_SPEED], dtype=np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def draw(generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
    """Draw a position in the valley, at rest."""
    low, high = maybe_parse_reset_bounds(options, -0.6, -0.4)
    return np.array([generator.uniform(low=low, high=high), 0.0])


def move(position: NDArray[np.floating], velocity: NDArray[np.floating]) -> None:
    """Limit the speed, move, and stop at the left wall; in place and in the arrays' precision.

    Args:
        position: Shape (n,).
        velocity: Shape (n,).
    """
    np.clip(velocity, -MAX_SPEED, MAX_SPEED, out=velocity)
    position += velocity
    np.clip(position, MIN_POSITION, MAX_POSITION, out=position)
    velocity[(position == MIN_POSITION) & (velocity < 0)] = 0
