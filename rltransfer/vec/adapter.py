"""Vector environments of Gymnasium, as the vectorized environments of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from rltransfer.errors import BadEnvironment
from rltransfer.faults import one_line, shown
from rltransfer.vec.attributes import Attributes
from rltransfer.vec.batches import BatchChecks
from rltransfer.vec.infos import split
from rltransfer.vec.observations import Observations, pick

_CURE = (
    "make it with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP "
    '(gymnasium.make_vec(id, n, vectorization_mode="sync", vector_kwargs={"autoreset_mode": ...}))'
)


class VectorEnvAdapter(VecEnv):
    """A :class:`gymnasium.vector.VectorEnv` that Stable-Baselines3 can train on.

    It behaves as ``DummyVecEnv`` does around environments with a ``Monitor``: an environment that
    ended is reset in the same step, its last observation is in ``info["terminal_observation"]``,
    ``info["TimeLimit.truncated"]`` tells a time limit from an end, and ``info["episode"]`` holds
    the return, length and time of the episode. Observations are copies in the dtype of their space.

    All three modes of resetting are understood. With ``NEXT_STEP`` and ``DISABLED``, environments
    that ended are reset at once by ``reset(options={"reset_mask": ...})``.

    Args:
        env: The vector environment. It is closed with the adapter.
        spec: What ``get_attr("spec")`` gives; the environment's own by default.
        autoreset_mode: When the environment resets itself, if its metadata does not say.

    Raises:
        BadEnvironment: The environment does not say when it resets itself, or its observations
            are nested spaces. At a step: it raised an error, its results have another shape than
            its spaces promise, or it cannot reset some environments alone.
    """

    def __init__(
        self,
        env: VectorEnv,
        *,
        spec: EnvSpec | None = None,
        autoreset_mode: AutoresetMode | None = None,
    ) -> None:
        self.env = env
        self._name = str(spec.id if spec else env.spec.id if env.spec else type(env).__name__)
        self._same_step = self._mode(autoreset_mode) is AutoresetMode.SAME_STEP
        self._attributes = Attributes(env)
        self._checks = BatchChecks(env.single_observation_space, env.num_envs, self._name)
        self._seen = Observations(env.single_observation_space, env.num_envs, self._name)
        # As many as there are environments: each may be seeded and sampled on its own.
        spaces = [env.single_action_space]
        spaces += [deepcopy(spaces[0]) for _ in range(env.num_envs - 1)]
        self._own: dict[str, list[Any]] = {
            "action_space": spaces,
            "observation_space": [env.single_observation_space] * env.num_envs,
            "render_mode": [env.render_mode] * env.num_envs,
        }
        if spec or env.spec:
            self._own["spec"] = [spec or env.spec] * env.num_envs
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = env.metadata
        self._actions: Any = None
        self._born = time.time()
        self._clock = 0
        self._began = [0] * env.num_envs
        self._returns = np.zeros(env.num_envs)

    def reset(self) -> VecEnvObs:
        """Reset all environments, with the seeds and options given since the last time."""
        try:
            observations, infos = self.env.reset(seed=self._seed(), options=self._option())
        except Exception as error:
            self._checks.pass_on("reset()", error)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = split(infos, self.num_envs)
        self._began = [self._clock] * self.num_envs
        self._returns[:] = 0.0
        return self._seen.copy(observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all environments, and reset those that ended."""
        try:
            observations, rewards, terminations, truncations, infos = self.env.step(self._actions)
        except Exception as error:
            self._checks.pass_on("step()", error)
        rewards = self._checks.rewards(rewards)
        observed = self._seen.copy(observations)
        terminations = self._checks.flags("terminations", terminations)
        dones = np.logical_or(terminations, self._checks.flags("truncations", truncations))
        if not isinstance(infos, Mapping):
            self._refuse(f"the infos are {shown(infos)}, not a dict")
        self._clock += 1
        self._returns += rewards
        if infos:
            rows = split(infos, self.num_envs)
            for row in rows:
                row["TimeLimit.truncated"] = False
        else:
            rows = [{"TimeLimit.truncated": False} for _ in self._began]
        if True in dones.tolist():
            if self._same_step:
                self._move_final(dones, rows, infos)
            else:
                observed = self._reset_ended(dones, rows, observed)
            self._end_episodes(dones, terminations, rows)
        return observed, rewards.astype(np.float32), dones, rows

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Frames of all environments; None of each where they do not render arrays."""
        frames: Any = self.env.render() if self.render_mode == "rgb_array" else None
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Attribute of each environment; a row of it, if the batch has an array of them."""
        values = self._own.get(attr_name) or self._attributes.get(attr_name)
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each environment, or of the batch."""
        self._attributes.set(attr_name, value, list(self._get_indices(indices)))

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of each environment, or of the batch."""
        chosen = list(self._get_indices(indices))
        return self._attributes.call(method_name, chosen, *method_args, **kwargs)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Tell whether environments have a wrapper; this class does what ``Monitor`` does."""
        envs: Any = getattr(self.env.unwrapped, "envs", [])
        monitored = issubclass(Monitor, wrapper_class)
        held = [monitored or is_wrapped(env, wrapper_class) for env in envs]
        return [(held or [monitored] * self.num_envs)[i] for i in self._get_indices(indices)]

    def _mode(self, given: AutoresetMode | None) -> AutoresetMode:
        mode = given or self.env.metadata.get("autoreset_mode")
        if mode is None:
            self._refuse(
                'its metadata lacks "autoreset_mode": give VectorEnvAdapter(env, '
                "autoreset_mode=...), which says when it resets environments that ended"
            )
        return AutoresetMode(mode)

    def _move_final(self, dones: np.ndarray, rows: list[dict[str, Any]], infos: Any) -> None:
        final, details = infos.get("final_obs"), infos.get("final_info")
        if final is None:
            self._refuse('infos lack "final_obs", the last observations of episodes that ended')
        lasts = split(details, self.num_envs) if details else None
        for index in np.flatnonzero(dones).tolist():
            del rows[index]["TimeLimit.truncated"]
            self.reset_infos[index] = rows[index]
            rows[index] = dict(rows[index]) if lasts is None else lasts[index]
            rows[index]["terminal_observation"] = pick(final, index)

    def _reset_ended(
        self, dones: np.ndarray, rows: list[dict[str, Any]], last: VecEnvObs
    ) -> VecEnvObs:
        try:
            results = self.env.reset(options={"reset_mask": dones.copy()})
            first = self._seen.copy(results[0])
        except Exception as error:
            raise BadEnvironment(
                f"{self._name} cannot reset some environments alone ({one_line(error)}): {_CURE}"
            ) from error
        if not self._seen.agree(last, first, ~dones):
            self._refuse(f"it ignores reset_mask, and resets all environments: {_CURE}")
        infos = split(results[1], self.num_envs)
        for index in np.flatnonzero(dones).tolist():
            rows[index]["terminal_observation"] = pick(last, index)
            self.reset_infos[index] = infos[index]
        return first

    def _end_episodes(
        self, dones: np.ndarray, terminations: np.ndarray, rows: list[dict[str, Any]]
    ) -> None:
        """Say what ``Monitor`` says, and in its rounding."""
        elapsed = round(time.time() - self._born, 6)
        for index in np.flatnonzero(dones).tolist():
            row = rows[index]
            row["TimeLimit.truncated"] = not terminations[index]
            row["episode"] = {
                "r": round(float(self._returns[index]), 6),
                "l": self._clock - self._began[index],
                "t": elapsed,
            }
            self._began[index] = self._clock
            self._returns[index] = 0.0

    def _seed(self) -> Any:
        seeds = self._seeds
        first = seeds[0]
        if first is None:
            return None if set(seeds) == {None} else seeds
        # One number where that says the same: not every vector environment takes a list.
        return first if seeds == [first + i for i in range(self.num_envs)] else seeds

    def _option(self) -> dict[str, Any] | None:
        if any(options != self._options[0] for options in self._options):
            self._refuse("it takes the same reset options for all environments, and got different")
        return self._options[0] or None

    def _refuse(self, problem: str) -> NoReturn:
        raise BadEnvironment(
            f"{self._name}: {problem}", details={"task": self._name, "problem": problem}
        )
