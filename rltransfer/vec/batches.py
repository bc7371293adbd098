"""Whether what a vector environment returns fits what it promises.

One that steps a whole batch cannot say which of its environments broke something that concerns all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env.util import obs_space_info

from rltransfer.errors import BadEnvironment, TransferError
from rltransfer.faults import one_line, shown
from rltransfer.fits import changed_by_cast


class BatchChecks:
    """Checks the results of a vector environment.

    Args:
        space: Space of one observation.
        n_envs: Number of environments.
        name: Of the environments, for messages.

    Raises:
        BadEnvironment: The space holds spaces that hold spaces, which SB3 has no arrays for. Every
            method: what it checks is wrong.
    """

    def __init__(self, space: spaces.Space, n_envs: int, name: str) -> None:
        self._name, self._n_envs = name, n_envs
        try:
            keys, shapes, dtypes = obs_space_info(space)
        except NotImplementedError as error:
            raise BadEnvironment(f"{name}: {' '.join(str(error).split())}") from error
        self.parts = [(key, dtypes[key], (n_envs, *shapes[key])) for key in keys]

    def results(
        self, observations: Any, rewards: Any, terminations: Any, truncations: Any, infos: Any
    ) -> None:
        """Check what ``step`` returned."""
        self.observations(observations)
        self.rewards(rewards)
        self.flags("terminations", terminations)
        self.flags("truncations", truncations)
        if not isinstance(infos, Mapping):
            self.refuse(f"the infos are {shown(infos)}, not a dict")

    def observations(self, observations: Any) -> None:
        """Check shapes, and that nothing is lost in the dtype of the space."""
        for key, dtype, shape in self.parts:
            part = np.asarray(observations if key is None else observations[key])
            if part.shape == shape and part.dtype == dtype:
                continue
            name = "observations" if key is None else f"observations {key!r}"
            if part.dtype.kind not in "biuf":
                self.refuse(f"{name} are of dtype {part.dtype}, not numbers")
            if part.shape != shape:
                self.refuse(f"{name} have shape {part.shape}, expected {shape}")
            problem = changed_by_cast(part, dtype, f"one of the {name}")
            if problem is not None:
                self.refuse(problem)

    def rewards(self, rewards: Any) -> np.ndarray:
        """Check that there is a number for each environment."""
        rewards = np.asarray(rewards)
        if rewards.shape != (self._n_envs,) or rewards.dtype.kind not in "fiub":
            got = f"{rewards.dtype} of shape {rewards.shape}"
            self.refuse(f"rewards are {got}, expected numbers of shape {(self._n_envs,)}")
        return rewards

    def flags(self, name: str, values: Any) -> np.ndarray:
        """Check that there is a bool for each environment."""
        flags = np.asarray(values)
        if flags.dtype.kind != "b" or flags.shape != (self._n_envs,):
            got = f"{flags.dtype} of shape {flags.shape}"
            self.refuse(f"{name} are {got}, expected bools of shape {(self._n_envs,)}")
        return flags

    def pass_on(self, call: str, error: Exception) -> NoReturn:
        """Name an error that the environment raised."""
        if isinstance(error, TransferError | MemoryError):
            raise error
        self.refuse(f"{call} raised {one_line(error)}", error)

    def refuse(self, problem: str, cause: Exception | None = None) -> NoReturn:
        """Say what is wrong."""
        details = {"task": self._name, "index": None, "problem": problem}
        raise BadEnvironment(f"{self._name}: {problem}", details=details) from cause
