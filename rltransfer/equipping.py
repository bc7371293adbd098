"""Giving a model the methods of its recipe, once all is carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gymnasium.envs.registration import EnvSpec
from torch import Tensor

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.growing import added_entries
from rltransfer.levels import performance_next_to
from rltransfer.methods import Fading, Method, ShrinkPerturb
from rltransfer.recipe import Recipe
from rltransfer.registry import id_of
from rltransfer.source_states import states_on
from rltransfer.teaching import teacher_on
from rltransfer.training.engine import EnginePPO
from rltransfer.training.ppo import TransferMixin
from rltransfer.training.terms import Setting, Working, term_of
from rltransfer.training.terms.renew import shrink_perturb
from rltransfer.training.transfer_state import Transfer

ROLES = ("retain", "regularize", "align", "grow", "renew", "imitate")
"""Fields of a recipe whose methods work in updates."""


def equip(
    model: TransferMixin,
    agent: Agent,
    target: str | EnvSpec,
    recipe: Recipe,
    masks: Mapping[str, Tensor],
) -> dict[str, str]:
    """Build what the methods of a recipe do in updates, and do what they do once.

    Args:
        model: A model that remembers its transfer. Changed in place.
        agent: The source.
        target: Gymnasium id or spec of the target.
        recipe: The recipe that is followed.
        masks: Which entries train, of the weights that a widened source holds.

    Returns:
        What was done, in words, by name.

    Raises:
        RecipeError: A method does not fit the model.
    """
    once = [one for one in recipe.methods if isinstance(one, ShrinkPerturb)]
    methods = [one for one in recipe.methods if one.role in ROLES and one not in once]
    transfer = model.transfer
    if methods and transfer is not None:
        transfer.terms = _terms(model, transfer, agent, target, recipe, masks, methods)
    # Last, as terms remember the source's own weights.
    return {"weights": shrink_perturb(once[0], model)} if once else {}


def _terms(
    model: TransferMixin,
    transfer: Transfer,
    agent: Agent,
    target: str | EnvSpec,
    recipe: Recipe,
    masks: Mapping[str, Tensor],
    methods: Sequence[Method],
) -> Working:
    if not isinstance(model, EnginePPO):
        raise RecipeError(
            f"{type(methods[0]).__name__} adds to the updates of PPO, and a {type(model).__name__} "
            "updates by sb3-contrib's own code: drop it from the recipe"
        )
    setting = Setting(
        model=model,
        agent=agent,
        target=id_of(target),
        recipe=recipe,
        groups=transfer.scheduler.groups,
        copied=frozenset(transfer.origin),
        carried=transfer.carried,
        make_teacher=lambda: teacher_on(model, agent, recipe),
        make_states=lambda n, tasks: states_on(agent, tasks, n, model.seed, device=model.device),
        seed=model.seed,
        masks=masks,
        added=added_entries(recipe, dict(model.policy.named_parameters())),
    )
    terms = [term_of(one, setting) for one in methods]
    performance = None
    if any(isinstance(one, Fading) and one.fade == "performance" for one in methods):
        performance, steps = performance_next_to(setting.teacher, target, seed=model.seed)
        transfer.spent += steps
    return Working(terms, performance)
