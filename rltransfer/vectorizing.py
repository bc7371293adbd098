"""Which environments have a class that steps a whole batch at once.

A vectorised class stands in for the entry point of a spec, so that specs stay as they are: their
JSON names a result. It has to live the life of the scalar environment, number for number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gymnasium.envs.registration import EnvSpec, WrapperSpec, load_env_creator
from gymnasium.vector import VectorEnv

from rltransfer.errors import BadArgument, RegistrationConflict

__all__ = ["pays", "register_vectorized", "vectorized", "why_not"]

# Fewer are stepped faster in turn: a batch of classic control takes the time of about three.
BATCH = 4

_vectorized: dict[str, str] = {}


def pays(spec: EnvSpec, num_envs: int) -> bool:
    """Tell whether a class that steps all environments at once is known, and faster for so many.

    Args:
        spec: The task.
        num_envs: Number of environments.
    """
    return num_envs >= BATCH and not why_not(spec)


def register_vectorized(entry_point: str, vector_entry_point: str) -> None:
    """Name the class that steps a whole batch of an environment, or of a wrapper, at once.

    Args:
        entry_point: ``module:name`` of the scalar class, as specs name it.
        vector_entry_point: ``module:name`` of its stand-in. That of an environment is called with
            ``num_envs``, the keyword ``max_episode_steps`` (None where there is no limit) and the
            keywords of the spec; that of a wrapper with the vector environment and the keywords of
            the wrapper. Both return a ``gymnasium.vector.VectorEnv``.

    Raises:
        BadArgument: A name is not ``module:name``.
        RegistrationConflict: Another stand-in is registered for the entry point.
    """
    for name in (entry_point, vector_entry_point):
        if name.count(":") != 1:
            raise BadArgument(f"register_vectorized got {name!r}; give module:name")
    if _vectorized.setdefault(entry_point, vector_entry_point) != vector_entry_point:
        raise RegistrationConflict(
            f"{entry_point} is vectorised by {_vectorized[entry_point]} already,"
            f" not by {vector_entry_point}; repeat the first registration exactly"
        )


def vectorized(spec: EnvSpec) -> Callable[[int], VectorEnv] | None:
    """Return what makes a natively vectorised batch of a task.

    Args:
        spec: Of the task.

    Returns:
        A picklable function of the number of environments; None where :func:`why_not` has a reason.
    """
    return None if why_not(spec) else partial(_make, spec)


def why_not(spec: EnvSpec) -> str:
    """Say why a task cannot be vectorised natively.

    Args:
        spec: Of the task.

    Returns:
        One line, such as ``"no vectorised class is registered for my_tasks:Pole"``; empty if it
        can.
    """
    for part in (spec.entry_point, *(wrapper.entry_point for wrapper in _wrappers(spec))):
        if part not in _vectorized:
            return f"no vectorised class is registered for {_name(part)}"
    return _refused(spec.entry_point, arguments(spec))


def vector_class(spec: EnvSpec) -> Callable[..., VectorEnv]:
    """Return the vectorised class of a spec for which :func:`why_not` has no reason.

    Args:
        spec: Of the task.
    """
    return _load(spec.entry_point)


def arguments(spec: EnvSpec) -> dict[str, Any]:
    """Return the keywords of the constructor, without a ``render_mode`` of None, which is the rule.

    Args:
        spec: Of the task.
    """
    return {k: v for k, v in spec.kwargs.items() if (k, v) != ("render_mode", None)}


def wrap(env: VectorEnv, spec: EnvSpec) -> VectorEnv:
    """Put the vectorised wrappers of a spec around a batch.

    Args:
        env: The batch without wrappers.
        spec: Of the task.
    """
    for wrapper in _wrappers(spec):
        env = _load(wrapper.entry_point)(env, **(wrapper.kwargs or {}))
    return env


def _make(spec: EnvSpec, num_envs: int) -> VectorEnv:
    make, limit = vector_class(spec), spec.max_episode_steps
    env = make(num_envs, max_episode_steps=limit, **arguments(spec))
    env.unwrapped.spec = spec
    return wrap(env, spec)


def _wrappers(spec: EnvSpec) -> tuple[WrapperSpec, ...]:
    return tuple(spec.additional_wrappers or ())


def _load(entry_point: Any) -> Callable[..., VectorEnv]:
    return load_env_creator(_vectorized[entry_point])  # pyright: ignore[reportReturnType]


def _refused(entry_point: Any, keywords: Mapping[str, Any]) -> str:
    """Say which of the two classes does not take the keywords: they have to mean the same."""
    for name, prefix in ((entry_point, ()), (_vectorized[entry_point], (1,))):
        try:
            inspect.signature(load_env_creator(name)).bind(*prefix, **keywords)
        except (ImportError, AttributeError) as error:
            return f"{name} cannot be loaded: {error}"
        except TypeError as error:
            return f"{name} does not take the task's arguments: {error}"
    return ""


def _name(entry_point: Any) -> str:
    if isinstance(entry_point, str):
        return entry_point
    return getattr(entry_point, "__qualname__", repr(entry_point))
