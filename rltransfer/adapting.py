"""Registers a task that is another one behind adapters."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec, load_env_creator

from rltransfer import registry
from rltransfer.errors import BadArgument, RegistrationConflict


def adapted(base_id: str, new_id: str, adapters: Sequence[WrapperSpec]) -> str:
    """Register a task that is another one behind adapters.

    Its task inherits family, scores and thresholds. They are in units of the base's return, which
    adapters do not change; that its reference stays within reach is for the user to judge.

    Args:
        base_id: Gymnasium id, or ``module:id``.
        new_id: Gymnasium id of the adapted environment, such as ``"my/Pole-4of6-v0"``.
        adapters: What stands around the environment, innermost first (see :func:`adapter`).

    Returns:
        ``new_id``. Registering the same again changes nothing.

    Raises:
        UnknownName: There is no such base.
        SpaceMismatch: An adapter does not fit the spaces it is put around.
        BadArgument: An adapter's argument is missing, unknown or outside its range.
        RegistrationConflict: ``new_id`` is taken by something else.
    """
    base = registry.spec(base_id)
    new = spec_behind(base, new_id, wrapper_specs(base, adapters))
    _register_task(registry.task(base_id), base, new, new.additional_wrappers[-len(adapters) :])
    gym.registry.setdefault(new_id, new)  # gymnasium.register would warn about a second time.
    return new_id


def wrapper_specs(base: EnvSpec, adapters: Sequence[WrapperSpec]) -> tuple[WrapperSpec, ...]:
    """Put adapters around a base once, and read back every wrapper that is there.

    Gymnasium compares the wrappers of an entry point with the first ones of a spec, and skips as
    many: those that the base's constructor adds must be in the list too.

    Args:
        base: Spec of the base.
        adapters: What stands around it, innermost first.

    Raises:
        SpaceMismatch: An adapter does not fit the spaces it is put around.
        BadArgument: There is no adapter, or an argument of one is missing, unknown or out of range.
    """
    if not adapters:
        raise BadArgument(
            "adapters is empty: give at least one, such as adapter('MapActions', ...)"
        )
    env = registry.make(base)
    try:
        for one in adapters:
            env = _wrap(env, one)
        if env.spec is None:
            raise BadArgument(
                f"{base.id} has no spec to extend: register it with gymnasium.register"
            )
        return env.spec.additional_wrappers
    finally:
        env.close()


def _wrap(env: gym.Env, one: WrapperSpec) -> gym.Env:
    try:
        return load_env_creator(one.entry_point)(env=env, **(one.kwargs or {}))  # type: ignore[call-arg]
    except TypeError as error:
        raise BadArgument(f"{one.name} got {dict(one.kwargs or {})}: {error}") from error


def spec_behind(base: EnvSpec, new_id: str, wrappers: tuple[WrapperSpec, ...]) -> EnvSpec:
    """Return the spec of a base behind wrappers, under another id.

    Args:
        base: Spec of the base.
        new_id: The id.
        wrappers: All wrappers, innermost first.

    Raises:
        BadArgument: ``new_id`` is no Gymnasium id.
        RegistrationConflict: It is taken by something else.
    """
    try:
        new = replace(
            base,
            id=new_id,
            kwargs=deepcopy(base.kwargs),
            additional_wrappers=wrappers,
            vector_entry_point=None,  # A vectorized constructor would not apply the wrappers.
        )
    except gym.error.Error as error:
        raise BadArgument(
            f"new_id is {new_id!r}: give a Gymnasium id without a module, such as 'my/Pole-v0'"
        ) from error
    if gym.registry.get(new_id, new) != new:
        raise RegistrationConflict(f"task {new_id!r} is another environment: choose another name")
    return new


def _register_task(
    known: registry.Task, base: EnvSpec, new: EnvSpec, adapters: Sequence[WrapperSpec]
) -> None:
    shows_other_observations = any("Observation" in one.name for one in adapters)
    registry.register_task(
        new.id,
        family=known.family,
        summary=f"{base.id} behind {', '.join(one.name for one in adapters)}",
        base=base.id,
        params={"adapters": [[one.name, one.kwargs] for one in adapters]},
        random=known.random,
        reference=known.reference,
        scores_from=known.scores_from,
        thresholds=known.thresholds,
        extra=known.extra,
        differs_by=0 if shows_other_observations else 1,
    )
