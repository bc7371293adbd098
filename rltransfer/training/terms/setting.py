"""What terms are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any

from torch import Tensor

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup
from rltransfer.methods import Method
from rltransfer.recipe import Recipe
from rltransfer.training.terms.teacher import Teacher
from rltransfer.training.terms.term import Term


@dataclass(frozen=True, eq=False)
class Setting:
    """A model at the moment when all was carried over, before anything is learnt.

    Attributes:
        model: The model on the target.
        agent: The source.
        target: Gymnasium id of the target.
        recipe: The recipe that is followed.
        groups: Layer groups of the model's policy.
        copied: Names of the parameters that came from the source.
        make_teacher: Makes the source's policy on the target's spaces.
        seed: Seed of the run; None for none.

    Methods may be asked for more than once; the teacher is made once.
    """

    model: Any
    agent: Agent
    target: str
    recipe: Recipe
    groups: Mapping[str, LayerGroup]
    copied: frozenset[str]
    make_teacher: Callable[[], Teacher]
    seed: int | None = None

    @cached_property
    def teacher(self) -> Teacher:
        """The source's policy on the target's spaces.

        Raises:
            RecipeError: It cannot act there.
        """
        return self.make_teacher()

    def parameters(self, *, actor_only: bool = True) -> dict[str, Tensor]:
        """Parameters by name.

        Args:
            actor_only: Without those of groups whose names begin with ``critic.``.
        """
        named = dict(self.model.policy.named_parameters())
        chosen = [one for one in self.groups.values() if not _is_critic(one.name, actor_only)]
        return {key: named[key] for one in chosen for key in one.parameters}


def _is_critic(name: str, actor_only: bool) -> bool:
    return actor_only and name.startswith("critic.")


@singledispatch
def term_of(method: Method, setting: Setting) -> Term:
    """Build what a method does in updates; each class of methods registers its own.

    Args:
        method: The method.
        setting: What it is made from.

    Raises:
        RecipeError: It does not fit the model; or nobody registered how it works.
    """
    raise RecipeError(
        f"{type(method).__name__} has no term: write one, and register how it is made with "
        f"@term_of.register"
    )
