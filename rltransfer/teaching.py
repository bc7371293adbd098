"""Making the source act on the target, to be asked while the learner moves away from it."""

from __future__ import annotations

from typing import Any

import torch

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.index_maps import index_maps
from rltransfer.layers import layer_groups
from rltransfer.normalizing import observation_normalizer
from rltransfer.recipe import Recipe
from rltransfer.statistics import carry_statistics
from rltransfer.surgery import apply_copy, plan_tensors, unfit_groups
from rltransfer.training.terms import Teacher


def teacher_on(model: Any, agent: Agent, recipe: Recipe, *, acts: bool = True) -> Teacher:
    """Build the whole of a source on the spaces of a target, whatever a recipe resets.

    Args:
        model: The model on the target.
        agent: The source.
        recipe: The recipe, for its maps of inputs and outputs.
        acts: Whether it is to act; otherwise only its critic has to fit.

    Raises:
        RecipeError: The source does not fit there.
    """
    groups = layer_groups(model.policy)
    plain = Recipe(inputs=recipe.inputs, outputs=recipe.outputs, pad_inputs=recipe.pad_inputs)
    maps = index_maps(agent, model.policy, groups, plain)
    unfit = unfit_groups(agent, model.policy, groups, plain, maps)
    lacking = [name for name in unfit if acts or not name.startswith("actor.")]
    if lacking:
        raise RecipeError(
            "a method of the recipe asks what the source would do, or what it thinks of a state, "
            f"but {', '.join(lacking)} of the source does not fit the target's spaces: map inputs "
            "and outputs, or drop the method"
        )
    with torch.random.fork_rng(devices=[]):
        policy = type(model.policy)(**model.policy._get_constructor_parameters())
    policy = policy.to(model.device)
    tensors = plan_tensors(agent, policy, groups, plain, maps, fresh=unfit)
    apply_copy(agent, policy, tensors, maps, plain)
    chosen = carry_statistics(
        agent.normalization,
        plain,
        maps.inputs,
        model.observation_space,
        keep_returns=False,
        gamma=model.gamma,
    )
    return Teacher(policy, observation_normalizer(model.observation_space, chosen))
