"""State of an optimizer, by the names of the parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rltransfer.agents.sb3.container import OPTIMIZER, Container
from rltransfer.errors import BadCheckpoint

_SQUARES = {"exp_avg_sq", "max_exp_avg_sq", "square_avg"}
Arrays = dict[str, np.ndarray]


class Unfit(Exception):
    """The state cannot be told apart by parameter; why is the message."""


def read(container: Container) -> Mapping[str, Any] | None:
    """Read the state as torch writes it, or return None where the zip has none.

    Raises:
        BadCheckpoint: It is malformed.
    """
    found = container.tensors(OPTIMIZER)
    if found is None:
        return None
    if not isinstance(found, dict) or set(found) != {"state", "param_groups"}:
        raise BadCheckpoint(f"{OPTIMIZER}: expected a state and groups of parameters")
    groups = found["param_groups"]
    if not isinstance(found["state"], dict) or not isinstance(groups, list):
        raise BadCheckpoint(f"{OPTIMIZER}: expected a state and groups of parameters")
    if not all(isinstance(group, dict) for group in groups):
        raise BadCheckpoint(f"{OPTIMIZER}: a group of parameters is malformed")
    return found


def learning_rate(found: Mapping[str, Any] | None) -> float | None:
    """Return the learning rate that the optimizer had last, or None where that is no use."""
    groups = found["param_groups"] if found else []
    rates = {group.get("lr") for group in groups if type(group.get("lr")) in (int, float)}
    rate = rates.pop() if len(groups) == len(rates) == 1 else None
    # A schedule that ended left nearly nothing, which is no rate to go on with.
    return float(rate) if rate is not None and 1e-7 < rate < math.inf else None


def by_parameter(
    found: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    *,
    of_torch: bool,
) -> Arrays:
    """Give each state its parameter.

    torch numbers parameters in the order in which the policy made them, which is that of its
    weights; a buffer between them would shift it, and is noticed by the count.

    Args:
        found: What :func:`read` gave.
        weights: The weights as they are in the zip, in order, each under one name.
        of_torch: Whether it is one of torch's own optimizers.

    Returns:
        Arrays by ``"<parameter>/<key>"``, such as ``"action_net.bias/exp_avg"``.

    Raises:
        BadCheckpoint: A value is not finite, or a mean of squares is negative.
        Unfit: The order of the parameters is not certain.
    """
    names = list(weights)
    groups, state = found["param_groups"], found["state"]
    if len(groups) != 1 or groups[0].get("params") != list(range(len(names))):
        raise Unfit("it has other parameters than the weights")
    if not all(type(index) is int and index < len(names) for index in state):
        raise Unfit("it has other parameters than the weights")
    moments: Arrays = {}
    for index, values in state.items():
        name = names[index]
        for key, value in _values(values):
            moment = _moment(key, value, of_torch)
            weight = weights[name]
            if moment.shape and (moment.shape, moment.dtype) != (weight.shape, weight.dtype):
                raise Unfit(f"{key} of {name} has another shape or dtype")
            moments[f"{name}/{key}"] = moment
    return moments


def _values(values: Any) -> list[tuple[str, Any]]:
    if not isinstance(values, dict):
        raise Unfit("it is no state of an optimizer of torch")
    named = [(key, value) for key, value in values.items() if value is not None]
    if not all(isinstance(key, str) and key.isidentifier() for key, _ in named):
        raise Unfit("it is no state of an optimizer of torch")
    return named


def _moment(key: str, value: Any, of_torch: bool) -> np.ndarray:
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray):
        raise Unfit(f"{key} is no array")
    # torch counted steps by whole numbers once, and does so by float32 now.
    counts = of_torch and key == "step"
    array = np.asarray(value, np.float32) if counts else np.asarray(value)
    if not np.isfinite(array).all():
        raise BadCheckpoint(f"{OPTIMIZER}: {key} holds NaN or inf: the training diverged")
    if (key in _SQUARES or key == "step") and (array < 0).any():
        raise BadCheckpoint(f"{OPTIMIZER}: {key} is negative")
    return array
