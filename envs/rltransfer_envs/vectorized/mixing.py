"""One batch of several tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from rltransfer import registry
from rltransfer.errors import BadArgument
from rltransfer.vectorizing import arguments, vector_class, why_not, wrap


def mixture(ids: Sequence[str]) -> VectorEnv:
    """Make one batch whose environments are of several tasks of one family.

    Args:
        ids: The task of each environment, such as ``["CartPole-v1", "rlt/CartPoleLong-v0"] * 4``.

    Returns:
        A batch of ``len(ids)`` environments, in that order; each keeps its task's constants and
        time limit.

    Raises:
        UnknownName: Gymnasium has no such id.
        BadArgument: A task cannot be vectorised natively, or the tasks differ in more than
            numbers: in their simulator or their wrappers.
    """
    specs = [registry.spec(id) for id in ids]
    if not specs:
        raise BadArgument("ids is empty; name the task of at least one environment")
    for spec in specs:
        if reason := why_not(spec):
            raise BadArgument(f"{spec.id} cannot be part of a batch: {reason}")
    make = vector_class(specs[0])
    for spec in specs:
        if vector_class(spec) is not make or _wrapping(spec) != _wrapping(specs[0]):
            raise BadArgument(
                f"{spec.id} and {specs[0].id} differ in more than constants and time limits;"
                " make a batch of each"
            )
    limits = [spec.max_episode_steps for spec in specs]
    return wrap(make(len(specs), max_episode_steps=limits, **_merged(make, specs)), specs[0])


def _wrapping(spec: EnvSpec) -> list[tuple[str, Any]]:
    return [(wrapper.entry_point, wrapper.kwargs) for wrapper in spec.additional_wrappers]


def _merged(make: Callable[..., VectorEnv], specs: Sequence[EnvSpec]) -> dict[str, list[Any]]:
    """Return one value per environment for every argument that a task sets."""
    defaults = {k: p.default for k, p in inspect.signature(make).parameters.items()}
    given = [arguments(spec) for spec in specs]
    names = {name for one in given for name in one}
    return {name: [one.get(name, defaults[name]) for one in given] for name in sorted(names)}
