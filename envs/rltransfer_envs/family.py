"""How a table of variants becomes registered environments, tasks and pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from rltransfer.errors import BadArgument, RegistrationConflict
from rltransfer.registry import Expect, Shift, register_pair, register_task
from rltransfer_envs import scores


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A target task, and the pair that leads from the source of its family to it.

    Attributes:
        id: Gymnasium id; one that starts with ``rlt/`` is registered with Gymnasium here.
        pair: Name of the pair.
        summary: One line for lists.
        shift: What differs from the source.
        expect: Whether transfer should help or hurt.
        why: One line: what changes, and why transfer should help or hurt.
        kwargs: Arguments of the constructor, JSON-able.
        wrappers: Wrappers around the environment.
        entry_point: Constructor, when it is not the family's.
        steps: Target budget, when it is not the family's.
        differs_by: See :class:`rltransfer.registry.Task`.
        mission: See :class:`rltransfer.registry.Task`.
    """

    id: str
    pair: str
    summary: str
    shift: Shift
    expect: Expect
    why: str
    kwargs: Mapping[str, object] = field(default_factory=dict)
    wrappers: tuple[WrapperSpec, ...] = ()
    entry_point: str | None = None
    steps: int | None = None
    differs_by: int = 1
    mission: str = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A source task and what its variants have in common.

    Attributes:
        name: Name of the family.
        source: Gymnasium id of the source.
        summary: One line about the source.
        entry_point: Constructor of the variants, and of a source whose id starts with ``rlt/``.
        kwargs: Arguments of the constructor of such a source.
        max_episode_steps: Time limit of the variants; None when the simulator has its own.
        steps: Target budget of the pairs, in environment steps.
        agent: Zoo agent trained on the source; None if there is none.
        extra: Extra of rltransfer that brings the simulator; None if none is needed.
        mission: Of the source; see :class:`rltransfer.registry.Task`.
    """

    name: str
    source: str
    summary: str
    entry_point: str
    steps: int
    kwargs: Mapping[str, object] = field(default_factory=dict)
    max_episode_steps: int | None = None
    agent: str | None = None
    extra: str | None = None
    mission: str = ""

    def register(self, variants: Sequence[Variant]) -> None:
        """Register the source, every variant, and the pairs between them.

        Args:
            variants: The variants, in the order in which they should be listed.
        """
        self._register_env(self.source, self.entry_point, self.kwargs, ())
        self._register_task(self.source, self.summary, params=self.kwargs, mission=self.mission)
        for variant in variants:
            entry_point = variant.entry_point or self.entry_point
            self._register_env(variant.id, entry_point, variant.kwargs, variant.wrappers)
            self._register_task(
                variant.id,
                variant.summary,
                base=self.source,
                params={**variant.kwargs, **{w.name: w.kwargs for w in variant.wrappers}},
                differs_by=variant.differs_by,
                mission=variant.mission,
            )
            self.register_pair(variant)

    def register_pair(self, variant: Variant) -> None:
        """Register the pair alone, for a target that is registered already.

        Args:
            variant: Only what describes the pair is read.
        """
        register_pair(
            variant.pair,
            self.source,
            variant.id,
            shift=variant.shift,
            expect=variant.expect,
            why=variant.why,
            steps=variant.steps or self.steps,
            agent=self.agent,
        )

    def _register_task(self, id: str, summary: str, **fields: object) -> None:
        register_task(
            id,
            family=self.name,
            summary=summary,
            extra=self.extra,
            **scores.task_fields(id),
            **fields,
        )

    def _register_env(
        self,
        id: str,
        entry_point: str,
        kwargs: Mapping[str, object],
        wrappers: tuple[WrapperSpec, ...],
    ) -> None:
        if not id.startswith("rlt/"):
            return
        new = EnvSpec(
            id=id,
            entry_point=entry_point,
            max_episode_steps=self.max_episode_steps,
            kwargs=dict(kwargs),
            additional_wrappers=wrappers,
        )
        # Gymnasium would warn and overwrite.
        if gym.registry.get(id, new) != new:
            raise RegistrationConflict(
                f"{id!r} is registered with Gymnasium as something else; choose another id for it"
            )
        gym.registry[id] = new


def require_positive(**values: float) -> None:
    """Refuse masses, lengths and time steps that have no physical meaning.

    Args:
        values: Numbers by name.

    Raises:
        BadArgument: One is not finite, or not above 0.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise BadArgument(f"{name} is {value!r}; give a finite number > 0")


def require_finite(**values: float) -> None:
    """Refuse NaN and infinity.

    Args:
        values: Numbers by name.

    Raises:
        BadArgument: One is not finite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise BadArgument(f"{name} is {value!r}; give a finite number")
