"""Recipes: how a source agent is carried over, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from rltransfer.errors import RecipeError, UnknownName, suggest
from rltransfer.methods import ROLES, Method, methods_of
from rltransfer.recipe_rules import (
    MAPPINGS,
    REALS,
    SEQUENCES,
    check_choices,
    check_contradictions,
    check_kinds,
    check_numbers,
    check_patterns,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is copied from the source agent, what is frozen, and how fast each part learns.

    Groups are named as in :mod:`rltransfer.layers`: by name, by glob, or by the words ``"trunk"``
    and ``"heads"``. The default recipe copies everything and trains everything.

    Attributes:
        freeze: Groups that do not train. Frozen means frozen: weights, BatchNorm statistics,
            Dropout and Adam moments.
        thaw: When frozen groups begin to train, as fractions of training in (0, 1); a group without
            an entry stays frozen. ``"top_down"`` thaws from the heads to the input, one layer at a
            time, ``"bottom_up"`` the other way round (Howard & Ruder 2018, section 3.3). A group's
            own name goes before globs, whatever their order; globs match frozen groups only.
        thaw_by: Fraction of training by which ``"top_down"`` or ``"bottom_up"`` has thawed all.
        reset: Groups that start fresh, with the initialization that PPO would give them.
        lr_decay: Learning-rate factor for each layer further from the heads, in (0, 1]
            (discriminative rates, Howard & Ruder 2018, section 3.2, where it is 1/2.6).
        lr_scale: Learning-rate factors by group, on top of ``lr_decay``; > 0. A group's own name
            goes before globs, whatever their order.
        pad_inputs: The target observes more: the source's columns come first, the new ones get zero
            weights, so that the outputs stay what they were.
        inputs: For each target input, the index of the source input that it replaces, or None for
            an input that the source never saw (zero weights).
        outputs: For each target action, the index of the source action that it replaces, or None
            for a new action (zero weights and a neutral bias).
        log_std: Exploration of a Gaussian policy: ``"copy"``, ``"reset"``, or a floor in log units
            under which no copied value stays.
        temperature: The copied logits of a policy with discrete actions are divided by this;
            > 1 makes it explore again. Only for Discrete, MultiDiscrete and MultiBinary actions.
        optimizer: ``"fresh"`` Adam moments, or those of the ``"source"``. Fresh by default: old
            second moments belong to the gradients of another task.
        obs_stats: Observation statistics: ``"copy"`` (they go on adapting), ``"freeze"`` (copied
            and fixed) or ``"reset"``.
        obs_count: Upper bound for the number of samples that copied statistics stand for; without
            one, a source that saw a million samples would hardly adapt.
        return_stats: Return statistics, the scale of normalized rewards: ``"copy"``, ``"reset"``,
            or ``"auto"``, which copies them exactly when the source critic is kept.
        critic: ``"keep"`` the source critic, ``"reset"`` it, or ``"refit"`` its head by ridge
            regression on the returns of the first rollouts, whose steps count. ``"auto"`` keeps it
            when gamma, the scale of the rewards and all layers below its head are the source's,
            and refits it otherwise.
        refit_rollouts: Rollouts that ``"refit"`` uses before the first update.
        retain: Methods that keep the learner close to what the source does, such as
            ``Kickstart()``; see :mod:`rltransfer.methods` for these and all below. One method, or
            several.
        regularize: Methods that act on weights or smooth outputs, such as ``L2SP()``.
        align: Methods that make features of source and target alike.
        guide: Methods that change the training environments.
        grow: Methods that add weights to the source's network.
        renew: Methods that keep the network able to learn.
        imitate: Methods that learn from the source's trajectories, before PPO begins or beside it.
        select: Lets a measurement on the target choose all of the above: ``"auto"`` by the score of
            the unchanged source, as the strategy table taught; ``"zero_shot"`` by the same score in
            three steps; ``"similarity"`` by how alike the tasks are under random actions; see
            :mod:`rltransfer.choose` and :func:`rltransfer.transfer.adapt`.
    """

    freeze: Sequence[str] = ()
    thaw: Mapping[str, float] | Literal["top_down", "bottom_up"] = field(default_factory=dict)
    thaw_by: float = 0.5
    reset: Sequence[str] = ()
    lr_decay: float = 1.0
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    pad_inputs: bool = False
    inputs: Sequence[int | None] | None = None
    outputs: Sequence[int | None] | None = None
    log_std: Literal["copy", "reset"] | float = "copy"
    temperature: float = 1.0
    optimizer: Literal["fresh", "source"] = "fresh"
    obs_stats: Literal["copy", "freeze", "reset"] = "copy"
    obs_count: float = 10_000.0
    return_stats: Literal["auto", "copy", "reset"] = "auto"
    critic: Literal["auto", "keep", "reset", "refit"] = "auto"
    refit_rollouts: int = 1
    retain: Method | Sequence[Method] = ()
    regularize: Method | Sequence[Method] = ()
    align: Method | Sequence[Method] = ()
    guide: Method | Sequence[Method] = ()
    grow: Method | Sequence[Method] = ()
    renew: Method | Sequence[Method] = ()
    imitate: Method | Sequence[Method] = ()
    select: Literal["auto", "zero_shot", "similarity"] | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        self._freeze_containers()
        check_patterns(self)
        check_numbers(self)
        check_choices(self)
        check_contradictions(self, type(self))
        self._check_select()

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods that it names."""
        return tuple(one for role in ROLES for one in getattr(self, role))

    def __hash__(self) -> int:
        return hash(self.to_json())

    def _freeze_containers(self) -> None:
        """Take copies, and write equal numbers alike, so that equal recipes have equal JSON."""
        for name in SEQUENCES:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(map(_plain_number, value)))
        for name in MAPPINGS:
            value = getattr(self, name)
            if isinstance(value, Mapping):
                object.__setattr__(self, name, {k: _real(v) for k, v in value.items()})
        for name in ROLES:
            object.__setattr__(self, name, methods_of(name, getattr(self, name)))
        for name in REALS:
            object.__setattr__(self, name, _real(getattr(self, name)))
        object.__setattr__(self, "refit_rollouts", _plain_number(self.refit_rollouts))

    def _check_select(self) -> None:
        if not self.select:
            return
        chosen = self.but(select=None, pad_inputs=False, inputs=None, outputs=None)
        if chosen != Recipe():
            given = ", ".join(sorted(chosen.to_dict()))
            raise RecipeError(
                f"a recipe that chooses (select={self.select!r}) chooses {given} itself: drop "
                "these, or name another recipe, such as 'full'"
            )
        maps = [name for name in ("pad_inputs", "inputs", "outputs") if name in self.to_dict()]
        if self.select == "similarity" and maps:
            raise RecipeError(
                f"select='similarity' compares tasks with equal spaces, which {maps[0]} says they "
                "do not have: use select='zero_shot'"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from the defaults, as JSON-able data."""
        defaults = Recipe()
        names = [one.name for one in fields(self)]
        changed = [name for name in names if getattr(self, name) != getattr(defaults, name)]
        return {name: _plain(getattr(self, name)) for name in changed}

    def to_json(self) -> str:
        """Return :meth:`to_dict` as one line of JSON with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Build a recipe from :meth:`to_dict`.

        Raises:
            UnknownName: A field does not exist.
            RecipeError: A value is out of range.
        """
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise UnknownName(suggest(name, known, kind="recipe field"))
        return cls(**data)

    def but(self, **changes: Any) -> Recipe:
        """Return this recipe with some fields changed.

        Raises:
            UnknownName: A field does not exist.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise UnknownName(suggest(name, known, kind="recipe field"))
        return replace(self, **changes)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [one.to_dict() if isinstance(one, Method) else one for one in value]
    return dict(value) if isinstance(value, Mapping) else value


def _plain_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _real(value: Any) -> Any:
    value = _plain_number(value)
    return float(value) if type(value) is int and abs(value) < 2**53 else value
