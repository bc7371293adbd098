"""Arguments of vectorised environments: one value for all environments, or one for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rltransfer.errors import BadArgument
from rltransfer_envs.family import require_finite, require_positive

# One number for every environment, or a sequence with one for each.
PerEnv = float | Sequence[float] | NDArray[np.floating]
# Steps until truncation, likewise; None where there is no limit.
StepLimit = int | Sequence[int | None] | None

_WHOLE = (int, np.integer)
_UNLIMITED = np.iinfo(np.int64).max


def positive(num_envs: int, **values: PerEnv) -> list[list[float]]:
    """Spread masses, lengths and the like over the environments.

    Args:
        num_envs: Number of environments.
        values: Numbers by name.

    Returns:
        ``num_envs`` Python floats for each name, in order.

    Raises:
        BadArgument: A number is not finite or not above 0, or there are not ``num_envs`` of them.
    """
    return [_spread(num_envs, name, value, require_positive) for name, value in values.items()]


def finite(num_envs: int, **values: PerEnv) -> list[list[float]]:
    """Spread numbers of either sign over the environments.

    Args:
        num_envs: Number of environments.
        values: Numbers by name.

    Returns:
        ``num_envs`` Python floats for each name, in order.

    Raises:
        BadArgument: A number is not finite, or there are not ``num_envs`` of them.
    """
    return [_spread(num_envs, name, value, require_finite) for name, value in values.items()]


def require_count(num_envs: int) -> int:
    """Refuse a number of environments that is not a whole number above 0."""
    if type(num_envs) is not int or num_envs < 1:
        raise BadArgument(f"num_envs is {num_envs!r}; give a whole number, at least 1")
    return num_envs


def step_limits(limit: StepLimit, num_envs: int) -> NDArray[np.int64]:
    """Return the time limit of each environment, in steps.

    Args:
        limit: One for all or one for each; None where there is none.
        num_envs: Number of environments.

    Raises:
        BadArgument: A limit is not a whole number above 0, or there are not ``num_envs`` of them.
    """
    limits = list(limit) if isinstance(limit, Sequence | np.ndarray) else [limit] * num_envs
    require_length("max_episode_steps", len(limits), num_envs)
    for number in limits:
        if number is not None and (type(number) is not int or number < 1):
            raise BadArgument(f"max_episode_steps is {number!r}; give a whole number > 0, or None")
    return np.array([_UNLIMITED if number is None else number for number in limits])


def seeds_of(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """Return the seed of each environment: ``seed + i``, or entry ``i`` of a sequence.

    Args:
        seed: What ``reset`` was given.
        num_envs: Number of environments.

    Raises:
        BadArgument: A seed is not a whole number of at least 0, or there are not ``num_envs``.
    """
    if seed is None:
        return [None] * num_envs
    given = [seed + i for i in range(num_envs)] if isinstance(seed, _WHOLE) else list(seed)
    require_length("seed", len(given), num_envs)
    if not all(one is None or (isinstance(one, _WHOLE) and one >= 0) for one in given):
        raise BadArgument(f"seed is {seed!r}; give whole numbers of at least 0, or None")
    return [None if one is None else int(one) for one in given]


def require_length(name: str, length: int, num_envs: int) -> None:
    """Refuse a sequence that does not have one entry per environment."""
    if length != num_envs:
        raise BadArgument(f"{name} has {length} entries; give one for all, or {num_envs}")


def _spread(num_envs: int, name: str, value: PerEnv, require: Callable[..., None]) -> list[float]:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} is {value!r}; give a number, or one per environment") from error
    if numbers.ndim == 0:
        numbers = np.full(num_envs, numbers)
    require_length(name, len(numbers), num_envs)
    for number in numbers.tolist():
        require(**{name: number})
    return numbers.tolist()
