"""MountainCarContinuous, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rltransfer_envs.vectorized.arguments import PerEnv, StepLimit, finite, positive
from rltransfer_envs.vectorized.base import Bools, ClassicControl, Floats
from rltransfer_envs.vectorized.mountaincar import draw, move, observation_space
from rltransfer_envs.vectorized.numerics import scalar_cos

_GOAL = 0.45
# What Gymnasium's equation of motion holds as a literal; other gravities add their difference.
_STOCK_GRAVITY = 0.0025


class VectorMountainCarContinuous(ClassicControl):
    """Gymnasium's MountainCarContinuous, vectorised.

    Args:
        num_envs: Number of environments.
        max_episode_steps: See :class:`ClassicControl`.
        power: Acceleration at full throttle, in position units per step^2; one number, or one per
            environment.
        gravity: Acceleration by the steepest slope, in the same unit; likewise.

    Raises:
        BadArgument: ``power`` is not above 0, a number is not finite, or there are not as many as
            environments.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: StepLimit = None,
        power: PerEnv = 0.0015,
        gravity: PerEnv = 0.0025,
    ) -> None:
        super().__init__(
            num_envs,
            max_episode_steps=max_episode_steps,
            observation_space=observation_space(),
            action_space=spaces.Box(-1.0, 1.0, shape=(1,), dtype=np.float32),
            state_size=2,
        )
        self._power = np.array(positive(num_envs, power=power)[0])
        self._power_single = self._power.astype(np.float32)
        self._extra = np.array(finite(num_envs, gravity=gravity)[0]) - _STOCK_GRAVITY

    def _advance(self, actions: NDArray[Any]) -> tuple[Floats, Bools]:
        # The scalar environment draws its state in float64, and keeps it in float32 from its first
        # step on: that step is computed in the one precision, and all others in the other.
        throttle, first = actions[:, 0], self._elapsed == 0
        state = self._state.astype(np.float32)
        terminations = self._drive(state, throttle, slice(None))
        if np.count_nonzero(first):
            drawn = self._state[:, first]
            terminations[first] = self._drive(drawn, throttle[first], first)
            state[:, first] = drawn
        self._state[:] = state
        used = throttle.astype(np.float64)
        return np.where(terminations, 100.0, 0.0) - used * used * 0.1, terminations

    def _drive(
        self, state: NDArray[np.floating], throttle: NDArray[np.float32], chosen: slice | Bools
    ) -> Bools:
        """Move the chosen environments in the precision of ``state``; return which arrived."""
        position, velocity = state
        slope = scalar_cos(3 * position)
        velocity -= (self._extra[chosen] * slope).astype(state.dtype)
        pull = 0.0025 * slope
        # Within its range the throttle is a float32 number, and so is what it gives; a throttle
        # that was limited is one of Python's floats, which keep all digits.
        gain = throttle * self._power_single[chosen] - pull.astype(np.float32)
        limited = np.clip(throttle, -1.0, 1.0)
        beyond = limited != throttle
        if np.count_nonzero(beyond):
            exact = (limited * self._power[chosen] - pull).astype(state.dtype)
            gain = np.where(beyond, exact, gain)
        velocity += gain
        move(position, velocity)
        return (position >= _GOAL) & (velocity >= 0)

    def _observe(self, state: Floats) -> NDArray[np.float32]:
        return state.T.astype(np.float32, order="C")

    def _draw(self, generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
        return draw(generator, options)
