"""Freezing, thawing and learning rates, by layer group.

SB3 writes one learning rate into every parameter group before each update, and cannot load a zip
whose optimizer has more than one group. The optimizer therefore keeps SB3's single group, and is
expanded into one group per learning rate only while it steps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, by_pattern, select
from rltransfer.recipe import Recipe
from rltransfer.recipe_rules import BOTTOM_UP
from rltransfer.training.locks import ModuleLocks

# Progress is 1 minus the progress that remains: 0.1 comes back as 0.09999999999999998.
ROUNDING = 1e-9


@dataclass(frozen=True)
class GroupPlan:
    """How one layer group trains.

    Attributes:
        trains_from: Fraction of training at which it begins to train: 0 from the start, ``inf``
            never.
        lr_scale: Factor on the learning rate.
    """

    trains_from: float = 0.0
    lr_scale: float = 1.0


def plan_groups(groups: Mapping[str, LayerGroup], recipe: Recipe) -> dict[str, GroupPlan]:
    """Turn a recipe into one plan for each layer group.

    Args:
        groups: The policy's layer groups.
        recipe: The recipe.

    Returns:
        Plans by group name.

    Raises:
        UnknownName: A pattern matches no group.
        RecipeError: A group is thawed that was not frozen, is slowed down or starts fresh although
            it never trains, or nothing trains at the start.
    """
    frozen = select(recipe.freeze, groups) if recipe.freeze else []
    thaw = _thaw_times(groups, frozen, recipe)
    scale = by_pattern(recipe.lr_scale, groups, "lr_scale")
    plans = {
        name: GroupPlan(
            trains_from=thaw.get(name, math.inf) if name in frozen else 0.0,
            lr_scale=scale.get(name, 1.0) * recipe.lr_decay**group.depth,
        )
        for name, group in groups.items()
    }
    _check_something_trains(groups, plans)
    _check_never_training(groups, plans, recipe)
    return plans


class GroupScheduler:
    """Applies group plans to a live policy.

    Thawing latches: a group that has begun to train is never frozen again, whatever a later
    ``learn`` reports as its progress.

    Attributes:
        plans: Plan of each layer group.
        groups: The layer groups.
    """

    def __init__(
        self, policy: Any, groups: Mapping[str, LayerGroup], plans: Mapping[str, GroupPlan]
    ) -> None:
        self.plans = dict(plans)
        self.groups = dict(groups)
        self._policy = policy
        self._parameters = dict(policy.named_parameters())
        self._frozen = {name for name, plan in self.plans.items() if plan.trains_from > 0}
        self._locks = ModuleLocks(policy, groups)
        self._single: dict[str, Any] | None = None
        for name in self._frozen:
            self._freeze(name)
        self._locks.apply(self._frozen)
        if any(plan.lr_scale != 1.0 for plan in self.plans.values()):
            policy.optimizer.register_step_pre_hook(self._expand)
            policy.optimizer.register_step_post_hook(self._collapse)

    @property
    def frozen(self) -> list[str]:
        """Names of the groups that are frozen now, input to output."""
        return [name for name in self.plans if name in self._frozen]

    @property
    def trainable(self) -> int:
        """Number of parameters that train now."""
        return sum(p.numel() for p in self._policy.parameters() if p.requires_grad)

    @property
    def lr_scale(self) -> dict[str, float]:
        """Factors on the learning rate by parameter name; 1 for those that are absent."""
        return {
            parameter: plan.lr_scale
            for name, plan in self.plans.items()
            if plan.lr_scale != 1.0
            for parameter in self.groups[name].parameters
        }

    def rate(self, name: str, base: float) -> float:
        """Learning rate of a group now, 0 while it is frozen."""
        return 0.0 if name in self._frozen else base * self.plans[name].lr_scale

    def advance(self, progress: float) -> list[str]:
        """Thaw the groups whose time has come.

        Args:
            progress: Fraction of training done, in [0, 1].

        Returns:
            Names of the groups that thawed just now.
        """
        reached = progress + ROUNDING
        due = [name for name in self.frozen if self.plans[name].trains_from <= reached]
        self.thaw(due)
        return due

    def thaw(self, due: Collection[str]) -> None:
        """Let frozen groups train from now on, whatever their time.

        Args:
            due: Their names.
        """
        for name in due:
            self._frozen.remove(name)
            for parameter in self.groups[name].parameters:
                self._parameters[parameter].requires_grad_(True)
        if due:
            self._locks.apply(self._frozen)

    def restore(self, optimizer: Optimizer) -> None:
        """Bring the optimizer back to SB3's single group, which is the only kind SB3 can load."""
        if self._single is not None:
            optimizer.param_groups = [self._single]
            self._single = None

    def _freeze(self, name: str) -> None:
        for parameter in self.groups[name].parameters:
            self._parameters[parameter].requires_grad_(False)
            # A stale gradient would still count in the clipped norm, and feed Adam.
            self._parameters[parameter].grad = None

    def _expand(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.restore(optimizer)  # in case the last step was interrupted half-way
        single = optimizer.param_groups[0]
        by_scale: dict[float, list[nn.Parameter]] = {}
        for name, plan in self.plans.items():
            members = (self._parameters[p] for p in self.groups[name].parameters)
            by_scale.setdefault(plan.lr_scale, []).extend(members)
        self._single = single
        optimizer.param_groups = [
            {**single, "params": params, "lr": single["lr"] * scale}
            for scale, params in by_scale.items()
        ]

    def _collapse(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.restore(optimizer)


def _thaw_times(
    groups: Mapping[str, LayerGroup], frozen: list[str], recipe: Recipe
) -> dict[str, float]:
    if not isinstance(recipe.thaw, str):
        for pattern in recipe.thaw:
            if not set(select([pattern], groups)) & set(frozen):
                raise RecipeError(f"thaw names {pattern!r}, which is not frozen: add it to freeze")
        return by_pattern(recipe.thaw, frozen, "thaw")
    depths = sorted({groups[name].depth for name in frozen}, reverse=recipe.thaw == BOTTOM_UP)
    return {
        name: recipe.thaw_by * (depths.index(groups[name].depth) + 1) / len(depths)
        for name in frozen
    }


def _check_something_trains(
    groups: Mapping[str, LayerGroup], plans: Mapping[str, GroupPlan]
) -> None:
    if not any(plans[name].trains_from == 0 and groups[name].parameters for name in groups):
        raise RecipeError(
            f"every layer group is frozen at the start: leave one to train, for example "
            f"freeze=['trunk']. Groups: {', '.join(groups)}"
        )


def _check_never_training(
    groups: Mapping[str, LayerGroup], plans: Mapping[str, GroupPlan], recipe: Recipe
) -> None:
    still = {name for name, plan in plans.items() if plan.trains_from == math.inf}
    for pattern in recipe.lr_scale:
        if set(select([pattern], groups)) <= still:
            raise RecipeError(
                f"lr_scale has {pattern!r}, which never trains: thaw it, or drop it from lr_scale"
            )
    # A fixed standard deviation is a choice; fixed random features are none that transfers.
    fresh = select(recipe.reset, groups) if recipe.reset else []
    stuck = [name for name in fresh if name in still and name != "actor.std"]
    if stuck:
        raise RecipeError(
            f"{stuck[0]} starts fresh and never trains: add {'!' + stuck[0]!r} to freeze, or give "
            f"it a time in thaw, such as thaw={{{stuck[0]!r}: 0.1}}"
        )
