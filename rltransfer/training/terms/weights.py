"""Weights that methods act on, and fresh ones to go with them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup, is_head
from rltransfer.methods import Method


def trained(
    method: Method, model: Any, *, critic: bool = True, heads: bool = True, std: bool = False
) -> dict[str, Tensor]:
    """Parameters of the layers that train at some time, by name.

    Args:
        method: What acts on them, for the error.
        model: A model that has its transfer.
        critic: With those of the critic.
        heads: With those of the heads.
        std: With standard deviations, which are no matter of weights but one of what a policy does.

    Raises:
        RecipeError: There are none.
    """
    named = dict(model.policy.named_parameters())
    groups = _groups(method, model, critic=critic, heads=heads, std=std)
    return {key: named[key] for group in groups for key in group.parameters}


def require_actor(method: Method, model: Any, *, std: bool = True) -> None:
    """Refuse a method that acts on what the policy does, where the actor never trains meanwhile.

    Args:
        method: The method.
        model: A model that has its transfer.
        std: Whether standard deviations are enough.

    Raises:
        RecipeError: It never does, or not before the method is over.
    """
    plans, until = model.transfer.scheduler.plans, getattr(method, "until", 1.0)
    groups = _groups(method, model, critic=False, heads=True, std=std)
    begins = min(plans[group.name].trains_from for group in groups)
    if until < 1 and begins >= until:
        raise RecipeError(
            f"{type(method).__name__} ends at {until:g} of training, and what it acts on trains "
            f"from {begins:g}: give a larger until, or thaw it sooner"
        )


def _groups(
    method: Method, model: Any, *, critic: bool, heads: bool, std: bool
) -> list[LayerGroup]:
    scheduler = model.transfer.scheduler
    found = [
        group
        for name, group in scheduler.groups.items()
        if group.parameters
        and scheduler.plans[name].trains_from < math.inf
        and (critic or not name.startswith("critic."))
        and (heads or not is_head(name))
        and (std or name != "actor.std")
    ]
    if not found:
        raise RecipeError(
            f"{type(method).__name__} acts on weights that train, and there are none that it could "
            "act on: freeze less, or drop it from the recipe"
        )
    return found


@torch.no_grad()
def fresh_weights(model: Any) -> dict[str, Tensor]:
    """Draw parameters as Stable-Baselines3 draws those of a new policy, by name.

    They are drawn from torch's global generator.

    Args:
        model: The model whose policy they would fit.
    """
    given = {"use_sde": True} if model.use_sde else {}
    policy = model.policy_class(
        model.observation_space,
        model.action_space,
        model.lr_schedule,
        **given,
        **model.policy_kwargs,
    )
    return dict(policy.to(model.device).named_parameters())
