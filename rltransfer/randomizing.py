"""Domain randomization: a task whose physical parameters are drawn anew for every episode."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.utils import RecordConstructorArgs

from rltransfer import registry
from rltransfer.adapting import spec_behind, wrapper_specs
from rltransfer.errors import BadArgument, SpaceMismatch, TransferError, UnknownName, suggest
from rltransfer.ranges import Range

__all__ = ["Randomize", "randomized"]

PARAMETERS = "parameters"
"""Key of the parameters of an episode in its first info, and in the options of ``reset``."""
# Tells the stream of parameters from the environment's own, which has the same seed.
_STREAM = 1


class Randomize(gym.Wrapper, RecordConstructorArgs):
    """Puts a simulator with newly drawn parameters under the wrappers at every reset.

    The parameters have a random stream of their own, so that the rest of an episode is what the
    unchanged environment would draw. They are in the info of ``reset`` as ``"parameters"``, and
    the options of ``reset`` may fix some or all of them under the same name.

    Args:
        env: Environment whose constructor takes the parameters.
        ranges: ``[low, high]`` or ``[low, high, "log"]`` by name.
        context: Whether the parameters, each from -1 to 1 within its range, are appended to the
            observation, in the order of ``ranges``.

    Raises:
        BadArgument: A range is no range, or ``env`` is randomized already.
        SpaceMismatch: The context does not fit observations that are not a one-dimensional Box.
    """

    def __init__(
        self, env: gym.Env, ranges: Mapping[str, Sequence[Any]], context: bool = False
    ) -> None:
        self.ranges = {name: Range.of(one) for name, one in ranges.items()}
        RecordConstructorArgs.__init__(
            self, ranges={k: r.to_list() for k, r in self.ranges.items()}, context=context
        )
        gym.Wrapper.__init__(self, env)
        _require_fixed(env)
        self.context = context
        self.parameters: dict[str, float] = {}
        self._below = env.observation_space
        # Held here: whoever seeded them expects them to stay when the simulator is replaced.
        self.action_space = env.action_space
        self.observation_space = _with_context(self._below, len(ranges)) if context else self._below
        self._generator = np.random.default_rng()
        self._appended = np.zeros(0)
        self._create = _creator(env.unwrapped.spec)
        if env.has_wrapper_attr("action_masks"):
            self.action_masks = lambda: self.env.get_wrapper_attr("action_masks")()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode with new parameters."""
        others = dict(options or {})
        fixed = others.pop(PARAMETERS, {})
        if seed is not None:
            self._generator = np.random.default_rng([seed, _STREAM])
        drawn = {name: one.at(self._generator.random()) for name, one in self.ranges.items()}
        self.parameters = {**drawn, **self._checked(fixed)}
        self._replace_simulator()
        scaled = [one.scaled(self.parameters[name]) for name, one in self.ranges.items()]
        self._appended = np.array(scaled, self._below.dtype)
        observation, info = self.env.reset(seed=seed, options=others or None)
        return self._shown(observation), {**info, PARAMETERS: dict(self.parameters)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, with the context in the observation if there is one."""
        observation, *rest = self.env.step(action)
        return self._shown(observation), *rest  # pyright: ignore[reportReturnType]

    def _shown(self, observation: Any) -> Any:
        return np.concatenate([observation, self._appended]) if self.context else observation

    def _checked(self, fixed: Mapping[str, float]) -> Mapping[str, float]:
        for name, value in fixed.items():
            if name not in self.ranges:
                raise UnknownName(suggest(name, self.ranges, kind="parameter"))
            one = self.ranges[name]
            if not one.low <= value <= one.high:
                raise BadArgument(f"{name} is {value}: give one from {one.low} to {one.high}")
        return fixed

    def _replace_simulator(self) -> None:
        holder: Any = self
        while isinstance(holder.env, gym.Wrapper):
            holder = holder.env
        old = holder.env
        new = self._create(**{**old.spec.kwargs, **self.parameters}).unwrapped
        if new.observation_space != old.observation_space or new.action_space != old.action_space:
            raise SpaceMismatch(f"{self.parameters} change the spaces: randomize other parameters")
        # Its generator goes on, as it does from one episode of the same simulator to the next.
        new.spec, new.np_random = old.spec, old.np_random
        new.action_space = old.action_space
        old.close()
        holder.env = new


def randomized(
    base_id: str, new_id: str, ranges: Mapping[str, Any], *, context: bool = False
) -> str:
    """Register a task whose parameters are drawn anew for every episode.

    Its environments are stepped in turn: a batch has its parameters for good. Scores of the base
    are not those of the new task, which therefore has none.

    Args:
        base_id: Gymnasium id, or ``module:id``.
        new_id: Gymnasium id of the new task, such as ``"my/Poles-v0"``.
        ranges: By name of an argument of the environment's constructor: ``(low, high)`` for a
            uniform draw, ``(low, high, "log")`` for one whose logarithm is uniform.
            ``rltransfer show ID`` has those of a registered variant as ``params``; they work for
            its base too.
        context: Whether the policy sees the parameters, behind the observation and each from -1
            to 1 (contextual, or oracle, policy); otherwise it has to be robust (Tobin et al. 2017).

    Returns:
        ``new_id``. Registering the same again changes nothing.

    Raises:
        UnknownName: There is no such base, or it has no such parameter.
        BadArgument: A range is empty or out of order, the simulator refuses one of its ends, or
            the base is a randomized task itself.
        SpaceMismatch: Parameters change the spaces, or the context does not fit the observations.
        RegistrationConflict: ``new_id`` is taken by something else.
    """
    given = registry.spec(base_id)
    if not isinstance(ranges, Mapping) or not all(isinstance(name, str) for name in ranges):
        raise BadArgument(f"ranges is {ranges!r:.80}: give such as {{'length': (0.3, 1.5)}}")
    parsed = {name: Range.of(one) for name, one in ranges.items()}
    if not parsed:
        raise BadArgument("ranges is empty: give at least one, such as {'length': (0.3, 1.5)}")
    base = replace(given, entry_point=_made_by(given, parsed))
    listed = {name: one.to_list() for name, one in parsed.items()}
    arguments = {"ranges": listed, "context": context}
    new = spec_behind(base, new_id, wrapper_specs(base, [Randomize.wrapper_spec(**arguments)]))
    _try_ends(new, parsed)
    known = registry.task(base_id)
    registry.register_task(
        new_id,
        family=known.family,
        summary=f"{given.id} with {', '.join(parsed)} drawn anew for every episode",
        base=given.id,
        params=arguments,
        extra=known.extra,
        differs_by=0 if context else 1,
    )
    gym.registry.setdefault(new_id, new)
    return new_id


def _made_by(base: EnvSpec, names: Iterable[str]) -> Any:
    """The base's constructor, or that of a variant which is the base with more arguments."""
    own = base.entry_point
    known = _arguments(own)
    if set(names) <= set(known):
        return own
    for variant in registry.tasks().values():
        spec = gym.registry.get(variant.id) if variant.base == base.id else None
        if spec is not None and _extends(spec.entry_point, own):
            known = _arguments(spec.entry_point)
            if set(names) <= set(known):
                return spec.entry_point
    missing = next(name for name in names if name not in known)
    raise UnknownName(suggest(missing, known, kind=f"parameter of {base.id}"))


def _arguments(entry_point: Any) -> list[str]:
    """Named arguments of a constructor, but for how it is shown."""
    given = inspect.signature(_load(entry_point)).parameters.values()
    named = [one.name for one in given if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    return [name for name in named if name != "render_mode"]


def _extends(entry_point: Any, base: Any) -> bool:
    try:
        one, other = _load(entry_point), _load(base)
    except (ImportError, AttributeError):  # a variant whose simulator is not installed
        return False
    return inspect.isclass(one) and inspect.isclass(other) and issubclass(one, other)


def _try_ends(new: EnvSpec, ranges: Mapping[str, Range]) -> None:
    """Begin an episode at both ends, so that what a simulator refuses is refused now."""
    env = registry.make(new)
    try:
        for end in (0.0, 1.0):
            at = {name: one.at(end) for name, one in ranges.items()}
            try:
                env.reset(seed=0, options={PARAMETERS: at})
            except TransferError:
                raise
            except Exception as error:
                raise BadArgument(f"{new.id} cannot be made with {at}: {error}") from error
    finally:
        env.close()


def _require_fixed(env: gym.Env) -> None:
    """Refuse what replaces its simulator itself: the parameters of one of both would be lost."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, Randomize):
            raise BadArgument(
                f"{', '.join(env.ranges)} are randomized already: give all ranges to one call of"
                " randomized, on the base"
            )
        env = env.env


def _creator(spec: EnvSpec | None) -> Callable[..., gym.Env]:
    if spec is None:
        raise BadArgument("Randomize needs an environment of gymnasium.make, which knows its spec")
    return _load(spec.entry_point)


def _load(entry_point: Any) -> Any:
    return load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point


def _with_context(space: spaces.Space, count: int) -> spaces.Box:
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.dtype.kind != "f":
        raise SpaceMismatch(
            f"the context needs a one-dimensional Box of floats, the environment has {space}:"
            " flatten it first, or use context=False"
        )
    ends = np.ones(count, space.dtype)
    low, high = np.concatenate([space.low, -ends]), np.concatenate([space.high, ends])
    return spaces.Box(low, high, dtype=space.dtype.type)
