"""Hyperparameters of an agent, from the entries of a zip."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from rltransfer.agents import hyperparameters, policies
from rltransfer.agents.inert import instance, scalar, state
from rltransfer.agents.sb3 import schedules, twins
from rltransfer.agents.sb3.container import Container
from rltransfer.agents.sb3.report import Ledger
from rltransfer.errors import BadArgument, BadCheckpoint

#: What means the same to another algorithm. The rest is tuned to how that one updates.
_CARRIED = {
    "A2C": (
        *("gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "normalize_advantage"),
        *("use_sde", "sde_sample_freq", "n_envs"),
    ),
    "TRPO": (
        *("n_steps", "gamma", "gae_lambda", "normalize_advantage", "use_sde", "sde_sample_freq"),
        "n_envs",
    ),
}
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")


def read(
    container: Container,
    ledger: Ledger,
    *,
    algorithm: str,
    trained_by: str,
    learning_rate: float | None,
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Read the hyperparameters.

    Args:
        container: The zip.
        ledger: Told of each value and how it was read.
        algorithm: What the agent is built as, such as ``"ppo"``.
        trained_by: What trained it, such as ``"A2C"``.
        learning_rate: The one that the optimizer had last, for a schedule that is a function.
        overrides: Values of the user, which go before the file's.

    Raises:
        BadArgument: An override is out of range.
        BadCheckpoint: A value of the file is out of range.
        UnknownName: An override names no hyperparameter.
    """
    defaults = _defaults(algorithm)
    overrides = hyperparameters.plain(overrides)
    hyperparameters.check({**defaults, **overrides})
    carried = _CARRIED.get(trained_by, hyperparameters.NAMES)
    values: dict[str, Any] = {}
    for name in hyperparameters.NAMES:
        if name in overrides:
            values[name], how = overrides[name], "given"
        elif name in container.data and name in carried:
            values[name], how = _value(container, name)
        else:
            values[name], how = defaults[name], "default"
        if how == "not recoverable":
            rate = learning_rate if name == "learning_rate" else None
            values[name] = _substitute(ledger, name, defaults[name], rate)
        ledger.add(name, _text(values[name]), how)
    try:
        return hyperparameters.check(values)
    except BadArgument as error:
        raise BadCheckpoint(f"{error}; give another with hyperparameters={{...}}") from error


@functools.cache
def _defaults(algorithm: str) -> dict[str, Any]:
    """The defaults of the algorithm's own constructor."""
    parameters = inspect.signature(policies.ALGORITHMS[algorithm]).parameters
    own = {name: parameters[name].default for name in hyperparameters.NAMES if name in parameters}
    return {"use_sde": False, "sde_sample_freq": -1, "n_envs": 1, **own}


def _value(container: Container, name: str) -> tuple[Any, str]:
    """Return a value of the file, and how it was read."""
    entry = container.data[name]
    if not container.is_pickled(name):
        # A list or object would be taken for the schedule that it may look like.
        if isinstance(entry, dict | list | str):
            raise BadCheckpoint(
                f"{name} is a {type(entry).__name__}, expected a number or schedule"
            )
        return entry, "plain"
    record = container.record(name)
    try:
        value = schedules.decode(record) if name in _SCHEDULES else scalar(record)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{name}: {error}") from error
    found = instance(record)
    if found is not None and value is not None:
        numbers = {key: part for key, part in state(found[1]).items() if type(part) in (int, float)}
        twins.check(container.twin(name), numbers, name)
    return (None, "not recoverable") if value is None else (value, "inert pickle")


def _substitute(ledger: Ledger, name: str, default: Any, rate: float | None) -> Any:
    """Choose a value in place of a function, and say so."""
    value, whose = (rate, "the last one of its optimizer") if rate else (default, "SB3's default")
    ledger.note(
        f"{name} is a function, which is code and was not run: {_text(value)} is {whose}; give the "
        f"true one with hyperparameters={{{name!r}: ...}} or --set {name}=..."
    )
    return value


def _text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    whole = value["end_fraction"] == 1
    end = "" if whole else f" after {value['end_fraction']:.4g} of training"
    return f"linear, {value['start']:.6g} to {value['end']:.6g}{end}"
