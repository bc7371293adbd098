"""Wrappers that shift what an agent sees or does, and not the physics.

Each records its arguments, so that it survives the JSON round trip of a spec and reaches worker
processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rltransfer.errors import BadArgument


class PermuteActions(gym.ActionWrapper, RecordConstructorArgs):
    """Rename discrete actions.

    Args:
        env: Environment with a Discrete(n) action space that starts at 0.
        permutation: Action ``a`` of the agent becomes ``permutation[a]``; length n.

    Raises:
        BadArgument: Not a permutation of the environment's actions.
    """

    def __init__(self, env: gym.Env, permutation: Sequence[int]) -> None:
        RecordConstructorArgs.__init__(self, permutation=permutation)
        gym.ActionWrapper.__init__(self, env)
        space = env.action_space
        n = int(space.n) if isinstance(space, gym.spaces.Discrete) and space.start == 0 else 0
        _require_permutation(permutation, n, of=f"actions {space}")
        self._permutation = [int(a) for a in permutation]

    def action(self, action: int) -> int:
        """Return the environment's name of the action."""
        return self._permutation[int(action)]


class FlipActions(gym.ActionWrapper, RecordConstructorArgs):
    """Negate continuous actions.

    Args:
        env: Environment with a Box action space that is symmetric around 0.

    Raises:
        BadArgument: The action space is another one.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ActionWrapper.__init__(self, env)
        space = env.action_space
        if not isinstance(space, gym.spaces.Box) or not np.array_equal(space.low, -space.high):
            raise BadArgument(f"FlipActions got {space}; it needs a Box with low == -high")

    def action(self, action: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the negated action, same shape."""
        return -np.asarray(action)


class PushContinuously(gym.ActionWrapper, RecordConstructorArgs):
    """Push the cart of a CartPole with any force instead of always the same.

    Args:
        env: A CartPole; its ``force_mag`` is the strongest push.

    Raises:
        BadArgument: Another environment.
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ActionWrapper.__init__(self, env)
        cart, space = env.unwrapped, env.action_space
        if not isinstance(cart, CartPoleEnv) or not isinstance(space, gym.spaces.Discrete):
            raise BadArgument(f"PushContinuously got {env}; it needs a CartPole's own two actions")
        self._cart, self._strongest = cart, cart.force_mag
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def action(self, action: NDArray[np.floating]) -> int:
        """Set the force that a push to the right has, in proportion to a number in [-1, 1]."""
        self._cart.force_mag = self._strongest * min(max(float(action[0]), -1.0), 1.0)
        return 1


class OffsetObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Add a constant to a vector observation, like a badly calibrated sensor.

    Args:
        env: Environment with a Box(n) observation space of floats.
        offset: What is added, in units of the observation; length n.

    Raises:
        BadArgument: Another space, another length, or a number that is not finite.
    """

    def __init__(self, env: gym.Env, offset: Sequence[float]) -> None:
        RecordConstructorArgs.__init__(self, offset=offset)
        gym.ObservationWrapper.__init__(self, env)
        space = _vector_space(env)
        self._offset = np.asarray(offset, dtype=space.dtype)
        if self._offset.shape != space.shape or not np.isfinite(self._offset).all():
            raise BadArgument(f"offset is {offset!r}; give {space.shape[0]} finite numbers")
        self.observation_space = gym.spaces.Box(
            space.low + self._offset, space.high + self._offset, dtype=space.dtype.type
        )

    def observation(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the shifted observation, shape (n,)."""
        return observation + self._offset


class ScaleObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Multiply a vector observation, like sensors that measure in other units.

    Args:
        env: Environment with a Box(n) observation space of floats.
        scale: Factors; length n.

    Raises:
        BadArgument: Another space, another length, or a factor that is not finite and above 0.
    """

    def __init__(self, env: gym.Env, scale: Sequence[float]) -> None:
        RecordConstructorArgs.__init__(self, scale=scale)
        gym.ObservationWrapper.__init__(self, env)
        space = _vector_space(env)
        self._scale = np.asarray(scale, dtype=space.dtype)
        positive = np.isfinite(self._scale) & (self._scale > 0)
        if self._scale.shape != space.shape or not positive.all():
            raise BadArgument(f"scale is {scale!r}; give {space.shape[0]} finite numbers > 0")
        self.observation_space = gym.spaces.Box(
            space.low * self._scale, space.high * self._scale, dtype=space.dtype.type
        )

    def observation(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the scaled observation, shape (n,)."""
        return observation * self._scale


class NoisyObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Add white Gaussian noise to a vector observation.

    The noise comes from a generator of its own, so that the environment draws what it would
    without it; both are seeded by ``reset``.

    Args:
        env: Environment with a Box(n) observation space of floats.
        std: Standard deviations, in units of the observation; length n.

    Raises:
        BadArgument: Another space, another length, or a number that is not finite or below 0.
    """

    def __init__(self, env: gym.Env, std: Sequence[float]) -> None:
        RecordConstructorArgs.__init__(self, std=std)
        gym.ObservationWrapper.__init__(self, env)
        space = _vector_space(env)
        self._std = np.asarray(std, dtype=np.float64)
        if self._std.shape != space.shape or not (np.isfinite(self._std) & (self._std >= 0)).all():
            raise BadArgument(f"std is {std!r}; give {space.shape[0]} finite numbers >= 0")
        self._noise = noise_generator(None)
        # Where there is noise, there are no bounds.
        self.observation_space = gym.spaces.Box(
            np.where(self._std > 0, -np.inf, space.low).astype(space.dtype),
            np.where(self._std > 0, np.inf, space.high).astype(space.dtype),
            dtype=space.dtype.type,
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin an episode; a seed seeds the noise as well."""
        if seed is not None:
            self._noise = noise_generator(seed)
        return super().reset(seed=seed, options=options)

    def observation(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return a noisy observation, shape (n,)."""
        noise = self._noise.standard_normal(self._std.shape) * self._std
        return observation + noise.astype(observation.dtype)


def noise_generator(seed: int | None) -> np.random.Generator:
    """Make the generator of an environment's noise, unlike the one that has its plain seed.

    Args:
        seed: Of the environment; None for fresh entropy.
    """
    return np.random.default_rng(None if seed is None else (seed, 1))


class PermuteObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Reorder a vector observation, like sensors that were plugged in wrongly.

    Args:
        env: Environment with a Box(n) observation space of floats.
        permutation: Entry ``i`` becomes the environment's entry ``permutation[i]``; length n.

    Raises:
        BadArgument: Another space, or not a permutation.
    """

    def __init__(self, env: gym.Env, permutation: Sequence[int]) -> None:
        RecordConstructorArgs.__init__(self, permutation=permutation)
        gym.ObservationWrapper.__init__(self, env)
        space = _vector_space(env)
        _require_permutation(permutation, space.shape[0], of=f"the entries of {space}")
        self._order = np.asarray(permutation)
        self.observation_space = gym.spaces.Box(
            space.low[self._order], space.high[self._order], dtype=space.dtype.type
        )

    def observation(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the reordered observation, shape (n,)."""
        return observation[self._order]


def wrapper(kind: type[gym.Wrapper], **kwargs: object) -> WrapperSpec:
    """Describe a wrapper of this module to Gymnasium.

    Args:
        kind: The wrapper.
        kwargs: Its arguments, JSON-able.
    """
    return WrapperSpec(kind.__name__, f"{kind.__module__}:{kind.__name__}", dict(kwargs))


def _vector_space(env: gym.Env) -> gym.spaces.Box:
    space = env.observation_space
    if (
        isinstance(space, gym.spaces.Box)
        and len(space.shape) == 1
        and np.issubdtype(space.dtype, np.floating)
    ):
        return space
    raise BadArgument(f"the observation space is {space}; it needs to be a Box(n) of floats")


def _require_permutation(permutation: Sequence[int], n: int, *, of: str) -> None:
    if sorted(permutation) != list(range(n)) or n == 0:
        raise BadArgument(f"{list(permutation)} is not a permutation of {of}, numbered from 0")
