"""Environments of envpool (Weng et al. 2022, extra ``envpool``), with Gymnasium's conventions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rltransfer import registry
from rltransfer.errors import BadArgument, MissingExtra
from rltransfer.vec.pool_tasks import PoolTask, pool_ids, pool_task

# Seeds and time limits are 32-bit integers with a sign.
_LARGEST = 2**31 - 1


def make_pool(spec: EnvSpec, num_envs: int) -> PooledVectorEnv:
    """Make environments of a task in envpool.

    Args:
        spec: The task.
        num_envs: Number of environments.

    Raises:
        BadArgument: envpool does not have the task, or it is not the same there.
        MissingExtra: envpool, or a package of the task, is not installed.
    """
    task = pool_task(spec)
    if task is None:
        raise BadArgument(
            f'{spec.id} is not in envpool: leave vec at "auto", or choose one of '
            f"{', '.join(pool_ids())}"
        )
    try:
        import envpool
    except ModuleNotFoundError as error:
        raise MissingExtra.of('vec="envpool"', "envpool") from error
    env = registry.make(spec)
    try:
        return PooledVectorEnv(
            envpool, task, num_envs, spec, env.observation_space, env.action_space
        )
    finally:
        env.close()


class PooledVectorEnv(VectorEnv):
    """Environments of envpool that reset in the step in which they end (``SAME_STEP``).

    envpool itself resets an environment in the step after its last, and calls an end at the time
    limit a truncation even where the task ended in that very step. Here its limit is one step
    further than the task's, so that both are known.

    The random numbers are envpool's own: a seed gives other first states than in Gymnasium, drawn
    from the same distribution. Environment ``i`` depends on its own seed alone.

    Args:
        envpool: The module.
        task: How envpool calls the task.
        num_envs: Number of environments.
        spec: The task.
        observation_space: Space of one environment's observation.
        action_space: Space of one environment's action.
    """

    def __init__(
        self,
        envpool: Any,
        task: PoolTask,
        num_envs: int,
        spec: EnvSpec,
        observation_space: spaces.Space,
        action_space: spaces.Space,
    ) -> None:
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.spec = spec
        self.num_envs = num_envs
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self._envpool = envpool
        self._task = task
        limit = min(spec.max_episode_steps or _LARGEST, _LARGEST - 1)
        own = int(envpool.make_spec(task.id).config.max_episode_steps) if task.limited else limit
        self._limit, self._own_limit = min(limit, own), own
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._pool: Any = None

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset all environments, or those that ``options={"reset_mask": mask}`` names.

        Args:
            seed: Environment ``i`` is seeded with ``seed + i``, modulo 2**31 - 1, which makes new
                environments.
            options: Nothing but ``reset_mask``, booleans of shape (n,).

        Returns:
            Observations of all environments, and an empty dict.

        Raises:
            BadArgument: The seed is outside 32 bits, or an option is unknown.
        """
        others = dict(options or {})
        mask = others.pop("reset_mask", None)
        if others:
            raise BadArgument(f"envpool takes no reset options, and got {', '.join(others)}")
        if self._pool is None or seed is not None:
            self._make(self._seeds(seed))
            mask = None
        if mask is None:
            self._last = self._begin(np.arange(self.num_envs))
        else:
            self._last = self._last.copy()
            chosen = np.flatnonzero(mask)
            self._last[chosen] = self._begin(chosen)
        return self._last, {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments, and reset those that ended.

        Args:
            actions: Shape (n,), or (n, k) for a Box.

        Returns:
            Observations, rewards of float64, terminations, truncations, and infos with
            ``final_obs`` if something ended.

        Raises:
            BadArgument: The actions have another shape or kind, or one is outside its space.
            ResetNeeded: ``reset`` was not called yet.
        """
        if self._pool is None:
            raise ResetNeeded("call reset() before step()")
        seen, rewards, terminations, _, _ = self._pool.step(self._checked(actions))
        observations = self._observe(seen)
        self._steps += 1
        rewards = self._task.reward(rewards, self._steps, self._own_limit)
        truncations = self._steps >= self._limit
        dones = terminations | truncations
        infos: dict[str, Any] = {}
        if True in dones.tolist():
            infos = {"final_obs": observations.copy(), "_final_obs": dones}
            ended = np.flatnonzero(dones)
            observations[ended] = self._begin(ended)
        self._last = observations
        return observations, rewards, terminations, truncations, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Close envpool's environments."""
        if self._pool is not None:
            self._pool.close()

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """Refuse what envpool does not: another shape ends the process."""
        actions, space = np.asarray(actions), self.single_action_space
        if actions.shape != self.action_space.shape:
            raise BadArgument(
                f"the actions have shape {actions.shape}; give {self.action_space.shape}"
            )
        if isinstance(space, spaces.Discrete) and (
            actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= space.n
        ):
            raise BadArgument(
                f"the actions are {actions}; give whole numbers from 0 to {space.n - 1}"
            )
        return actions

    def _make(self, seeds: list[int]) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = self._envpool.make(
            self._task.id,
            env_type="gymnasium",
            num_envs=self.num_envs,
            seed=seeds,
            max_episode_steps=self._own_limit + 1,
        )
        with warnings.catch_warnings():
            # It makes its space at the first use, and complains of its own bounds.
            warnings.simplefilter("ignore")
            _ = self._pool.observation_space

    def _begin(self, chosen: np.ndarray) -> np.ndarray:
        """Reset some environments, and return their observations in the order given."""
        self._steps[chosen] = 0
        seen, info = self._pool.reset(chosen.astype(np.int32))
        return self._observe(seen)[np.argsort(info["env_id"])]

    def _observe(self, seen: Any) -> np.ndarray:
        return np.array(self._task.observe(seen), dtype=self.single_observation_space.dtype)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        drawn = self.np_random.integers(_LARGEST, size=self.num_envs).tolist()
        if seed is None:
            return drawn
        given = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
        if len(given) != self.num_envs or any(one is not None and one < 0 for one in given):
            raise BadArgument(
                f"seed is {seed!r}: give numbers of at least 0, one for each of {self.num_envs} "
                "environments"
            )
        # VecEnv.seed(None) draws numbers of 32 bits, which are more than envpool takes.
        return [drawn[i] if one is None else int(one) % _LARGEST for i, one in enumerate(given)]
