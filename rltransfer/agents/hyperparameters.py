"""Hyperparameters of the PPO family as JSON data, and back to constructor arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from rltransfer.errors import BadArgument, UnknownName, suggest

_Check = Callable[[Any], bool]


def _number(low: float, high: float = math.inf, *, open_low: bool = False) -> _Check:
    def check(value: Any) -> bool:
        above = type(value) in (int, float) and (value > low if open_low else value >= low)
        return above and value <= high and not math.isinf(value)

    return check


def _whole(low: int) -> _Check:
    # The ceiling keeps a file from asking for more than any machine has.
    return lambda value: type(value) is int and low <= value <= 10**9


def _optional(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _schedule(check: _Check) -> _Check:
    def checked(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return check(value)
        fraction = value.get("end_fraction")
        complete = set(value) == {"start", "end", "end_fraction"}
        return (
            complete and _at_least_0(value["end"]) and check(value["start"]) and _positive(fraction)
        )

    return checked


_at_least_0 = _number(0)
_positive = _number(0, open_low=True)
_unit = _number(0, 1)
_bool: _Check = lambda value: type(value) is bool  # noqa: E731

_LINEAR = (
    'a linear schedule such as {"start": 3e-4, "end": 0.0, "end_fraction": 1.0}, which is '
    "LinearSchedule(3e-4, 0.0, 1.0) of stable_baselines3.common.utils"
)

#: Every hyperparameter: what it may be, in words and as a check.
_RULES: dict[str, tuple[str, _Check]] = {
    "learning_rate": (f"a number of at least 0, or {_LINEAR}", _schedule(_at_least_0)),
    "n_steps": ("a whole number of at least 1", _whole(1)),
    "batch_size": ("None, or a whole number of at least 1", _optional(_whole(1))),
    "n_epochs": ("a whole number of at least 1", _whole(1)),
    "gamma": ("a number from 0 to 1", _unit),
    "gae_lambda": ("a number from 0 to 1", _unit),
    "clip_range": (f"a number of at least 0, or {_LINEAR}", _schedule(_at_least_0)),
    "clip_range_vf": (
        f"None, a positive number, or {_LINEAR}",
        _optional(_schedule(_positive)),
    ),
    "normalize_advantage": ("True or False", _bool),
    "ent_coef": ("a finite number", _number(-1e30)),
    "vf_coef": ("a finite number", _number(-1e30)),
    "max_grad_norm": ("a positive finite number", _positive),
    "use_sde": ("True or False", _bool),
    "sde_sample_freq": ("-1, or a whole number of steps", _whole(-1)),
    "target_kl": ("None, or a positive number", _optional(_positive)),
    "n_envs": ("a whole number of at least 1", _whole(1)),
}
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
NAMES = tuple(_RULES)


def read(model: Any, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read the hyperparameters of a live Stable-Baselines3 model.

    Args:
        model: A PPO, MaskablePPO or RecurrentPPO.
        overrides: Values to take instead of the model's, by name.

    Returns:
        JSON data: numbers, booleans, None, and ``{"start", "end", "end_fraction"}`` for a linear
        schedule.

    Raises:
        BadArgument: A value is out of range, or a schedule is an arbitrary function.
        UnknownName: An override names no hyperparameter.
    """
    overrides = plain(overrides or {})
    # learning_rate is what was asked for; lr_schedule is what the model trains by.
    sources = {name: getattr(model, name) for name in NAMES} | {"learning_rate": model.lr_schedule}
    return check({name: _plain(name, value) for name, value in (sources | overrides).items()})


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` if they are exactly the known hyperparameters, each within its range.

    Raises:
        BadArgument: One is missing or out of range.
        UnknownName: There is one more.
    """
    for name in values:
        if name not in _RULES:
            raise UnknownName(suggest(name, NAMES, kind="hyperparameter"))
    for name, (expected, valid) in _RULES.items():
        if name not in values:
            raise BadArgument(f"hyperparameter {name} is missing: expected {expected}")
        if not valid(values[name]):
            raise BadArgument(f"hyperparameter {name}={values[name]!r:.60}: expected {expected}")
    return dict(values)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write values of a user as JSON data, among them schedules of Stable-Baselines3.

    Args:
        values: By name, not yet checked.

    Raises:
        BadArgument: One is an arbitrary function.
        UnknownName: One is of no hyperparameter.
    """
    for name in values:
        if name not in _RULES:
            raise UnknownName(suggest(name, NAMES, kind="hyperparameter"))
    return {name: _plain(name, value) for name, value in values.items()}


def arguments(values: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """Turn hyperparameters into keyword arguments of an algorithm's constructor.

    Args:
        values: What :func:`read` gave.
        algorithm: ``"ppo"``, ``"maskable_ppo"`` or ``"recurrent_ppo"``.
    """
    # n_envs comes with the environment; actions that can be masked have no continuous noise.
    absent = {"n_envs"} | ({"use_sde", "sde_sample_freq"} if algorithm == "maskable_ppo" else set())
    live = {name: value for name, value in values.items() if name not in absent}
    for name in _SCHEDULES:
        if isinstance(live[name], Mapping):
            live[name] = LinearSchedule(**live[name])
    return live


def _plain(name: str, value: Any) -> Any:
    """Write one value as JSON data, exactly."""
    while type(value) is FloatSchedule:
        value = value.value_schedule
    if type(value) is ConstantSchedule:
        value = value.val
    if type(value) is LinearSchedule:
        fields = ("start", "end", "end_fraction")
        return {key: _plain(name, getattr(value, key)) for key in fields}
    if isinstance(value, np.generic):
        return value.item()
    if callable(value):
        raise BadArgument(
            f"{name} is the function {getattr(value, '__qualname__', type(value).__name__)}, "
            "which cannot be stored as data: train with a number or with "
            "stable_baselines3.common.utils.LinearSchedule(start, end, end_fraction), or give "
            f"such a value with hyperparameters={{{name!r}: 0.0003}}"
        )
    return value
