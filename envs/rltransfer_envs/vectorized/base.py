"""What the vectorised classic-control environments have in common.

Each is a whole batch in a few numpy calls, and environment ``i`` of the batch lives the very life
of the scalar environment with the same seed: the same numbers are drawn from a generator of its
own, and the same operations are done in the same order and precision.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rltransfer.errors import BadArgument
from rltransfer_envs.vectorized.arguments import StepLimit, require_count, seeds_of, step_limits

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Step = tuple[NDArray[np.float32], Floats, Bools, Bools, dict[str, Any]]


class ClassicControl(VectorEnv[NDArray[np.float32], NDArray[Any], NDArray[Any]]):
    """A batch of environments whose state is a few numbers each.

    An environment that ends is reset within the same step (Gymnasium's ``SAME_STEP``): its row of
    the observations is the first of its next episode, and ``infos`` holds ``final_obs`` with the
    last one of the episode that ended, shape (num_envs, n), and the mask ``_final_obs``, shape
    (num_envs,); rows outside the mask mean nothing. While nothing ends, ``infos`` is empty. Every
    array that is returned is new: later steps leave it alone.

    Args:
        num_envs: Number of environments, at least 1.
        max_episode_steps: Steps after which an episode is truncated, one number for all or one per
            environment; None where there is no limit.
        observation_space: Space of one environment's observation, a Box(n) of float32.
        action_space: Space of one environment's action.
        state_size: How many numbers describe the state of one environment.

    Raises:
        BadArgument: ``num_envs`` or a limit is outside its range.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: StepLimit,
        observation_space: spaces.Box,
        action_space: spaces.Discrete | spaces.Box,
        state_size: int,
    ) -> None:
        self.num_envs = require_count(num_envs)
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self._limits = step_limits(max_episode_steps, num_envs)
        # One row per quantity, so that each is contiguous.
        self._state = np.full((state_size, num_envs), np.nan)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []

    @property
    def np_random(self) -> tuple[np.random.Generator, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The generators of the environments, in order; empty before the first reset."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The seeds of these generators, in order."""
        return tuple(self._seeds)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: Environment ``i`` is seeded with ``seed + i``, or with entry ``i`` of a sequence;
                None lets its generator go on.
            options: ``reset_mask``, booleans of shape (num_envs,), resets (and seeds) these alone;
                the others are options of the scalar environment.

        Returns:
            Observations of all environments, shape (num_envs, n), and an empty dict.

        Raises:
            BadArgument: The seeds or the mask do not fit.
            ResetNeeded: The first reset has a mask.
        """
        others = dict(options or {})
        chosen = self._chosen(others.pop("reset_mask", None))
        self._seed(seeds_of(seed, self.num_envs), chosen)
        self._begin(chosen, others or None)
        observations = self._observe(self._state)
        fresh = np.flatnonzero(self._elapsed == 0)
        observations[fresh] = self._observe_initial(self._state[:, fresh])
        return observations, {}

    def step(self, actions: NDArray[Any]) -> Step:
        """Advance every environment by one action.

        Args:
            actions: Whole numbers of shape (num_envs,) for a Discrete space; shape (num_envs, k),
                taken as float32, for a Box.

        Returns:
            Observations of shape (num_envs, n) in float32; rewards in float64, terminations and
            truncations, shape (num_envs,); and infos.

        Raises:
            BadArgument: The actions have another shape or kind, or one is outside its space.
            ResetNeeded: ``reset`` was not called yet.
        """
        if not self._generators:
            raise ResetNeeded("call reset() before step()")
        rewards, terminations = self._advance(self._checked(actions))
        self._elapsed += 1
        truncations = self._elapsed >= self._limits
        observations = self._observe(self._state)
        done = terminations | truncations
        infos = self._restart(done, observations) if np.count_nonzero(done) else {}
        return observations, rewards, terminations, truncations, infos

    @abstractmethod
    def _advance(self, actions: NDArray[Any]) -> tuple[Floats, Bools]:
        """Change the state in place; return new rewards and terminations, shape (num_envs,)."""

    @abstractmethod
    def _observe(self, state: Floats) -> NDArray[np.float32]:
        """Return the observations of states, (state_size, m) -> (m, n), in a new array."""

    @abstractmethod
    def _draw(self, generator: np.random.Generator, options: dict[str, Any] | None) -> Floats:
        """Draw the initial state of one environment, with the scalar environment's own call."""

    def _observe_initial(self, state: Floats) -> NDArray[np.float32]:
        """Return the observations of states that no step has followed yet."""
        return self._observe(state)

    def _checked(self, actions: NDArray[Any]) -> NDArray[Any]:
        actions = np.asarray(actions)
        if actions.shape != self.action_space.shape:
            raise BadArgument(
                f"the actions have shape {actions.shape}; give {self.action_space.shape}"
            )
        space = self.single_action_space
        if not isinstance(space, spaces.Discrete):
            return actions.astype(np.float32, copy=False)
        # As unsigned numbers, negative ones are too large as well: one comparison finds both.
        if actions.dtype.kind not in "iu" or actions.astype(np.uint64, copy=False).max() >= space.n:
            raise BadArgument(
                f"the actions are {actions}; give whole numbers from 0 to {space.n - 1}"
            )
        return actions.astype(np.int64, copy=False)

    def _restart(self, done: Bools, observations: NDArray[np.float32]) -> dict[str, Any]:
        """Begin the next episode where one ended, and put its observation in place."""
        final = observations.copy()
        ended = np.flatnonzero(done)
        self._begin(ended, None)
        observations[ended] = self._observe_initial(self._state[:, ended])
        return {"final_obs": final, "_final_obs": done}

    def _begin(self, indexes: NDArray[np.intp], options: dict[str, Any] | None) -> None:
        draws = [self._draw(self._generators[i], options) for i in indexes.tolist()]
        self._state[:, indexes] = np.array(draws).T
        self._elapsed[indexes] = 0

    def _seed(self, seeds: list[int | None], chosen: NDArray[np.intp]) -> None:
        if not self._generators:
            made = [seeding.np_random(seed) for seed in seeds]
            self._generators, self._seeds = map(list, zip(*made, strict=True))
            return
        for index in chosen.tolist():
            if seeds[index] is not None:
                self._generators[index], self._seeds[index] = seeding.np_random(seeds[index])

    def _chosen(self, mask: Any) -> NDArray[np.intp]:
        if mask is None:
            return np.arange(self.num_envs)
        if not self._generators:
            raise ResetNeeded("call reset() without a reset_mask first")
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise BadArgument(
                f"reset_mask is {mask!r}; give {self.num_envs} booleans, at least one of them True"
            )
        return np.flatnonzero(mask)
