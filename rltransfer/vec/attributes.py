"""Attributes and methods of the environments inside a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from rltransfer.errors import BadArgument
from rltransfer.vec.infos import per_env

# What would be the batch itself.
_OF_ONE = frozenset({"env", "unwrapped"})
# What Gymnasium gives as a tuple where each environment has its own.
_IN_ORDER = frozenset({"np_random", "np_random_seed"})


class Attributes:
    """Reads, sets and calls what the environments have, one value for each.

    ``SyncVectorEnv`` and ``AsyncVectorEnv`` hold environments that can be asked one by one. A
    vector environment that steps all as one batch has attributes of the whole batch: an array with
    a row for each environment is given row by row, anything else is given to all. It has no
    environments to hand out, and no attributes but its own: setting one that it lacks would change
    nothing.

    Args:
        env: The vector environment.
    """

    def __init__(self, env: VectorEnv) -> None:
        self._env = env
        self._base: Any = env.unwrapped
        self._n = env.num_envs
        self._separate = hasattr(self._base, "call")

    def get(self, name: str) -> list[Any]:
        """Return an attribute of every environment.

        Raises:
            AttributeError: There is none.
        """
        if self._separate:
            self._require(name)
            return list(self._base.call("get_wrapper_attr", name))
        values = getattr(self._holder(name), name)
        if name in _IN_ORDER and isinstance(values, tuple):
            return list(values)
        return list(per_env(values, self._n))

    def set(self, name: str, value: Any, indices: Sequence[int]) -> None:
        """Set an attribute of some environments.

        Raises:
            BadArgument: All environments share it, and only some were named; or they step as one
                batch, which lacks it.
        """
        everyone = set(indices) >= set(range(self._n))
        if self._separate:
            values = [value] * self._n if everyone else self.get(name)
            for index in indices:
                values[index] = value
            self._base.set_attr(name, values)
            return
        try:
            holder = self._holder(name)
        except AttributeError as error:
            raise BadArgument(str(error)) from error
        if everyone:
            setattr(holder, name, value)
        else:
            self._set_rows(getattr(holder, name), name, value, indices)

    def call(self, name: str, indices: Sequence[int], *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method of some environments, and return what each gave.

        Raises:
            AttributeError: There is no such method.
            BadArgument: It can only be called for all environments, and only some were named.
        """
        if self._separate and hasattr(self._base, "envs"):
            envs = [self._base.envs[index] for index in indices]
            return [env.get_wrapper_attr(name)(*args, **kwargs) for env in envs]
        if set(indices) != set(range(self._n)):
            raise BadArgument(f"{name}() acts on all environments at once: leave out `indices`")
        if self._separate:
            self._require(name)
            results = self._base.call(name, *args, **kwargs)
        else:
            results = per_env(getattr(self._holder(name), name)(*args, **kwargs), self._n)
        return [results[index] for index in indices]

    def _set_rows(self, column: Any, name: str, value: Any, indices: Sequence[int]) -> None:
        if not isinstance(column, np.ndarray) or len(column) != self._n:
            raise BadArgument(f"{name} is the same for all environments: leave out `indices`")
        column[list(indices)] = value

    def _require(self, name: str) -> None:
        # Asked first: a worker of AsyncVectorEnv does not survive an AttributeError.
        if not all(self._base.call("has_wrapper_attr", name)):
            raise AttributeError(f"the environments have no {name!r}")

    def _holder(self, name: str) -> Any:
        for env in self._chain():
            if name not in _OF_ONE and hasattr(env, name):
                return env
        raise AttributeError(
            f"{type(self._base).__name__}, which steps all environments as one batch, has no "
            f'{name!r}; environments that are stepped in turn (vec="sync") have their own'
        )

    def _chain(self) -> Iterator[Any]:
        env = self._env
        while isinstance(env, VectorWrapper):
            yield env
            env = env.env
        yield env
