"""What terms are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, singledispatch
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rltransfer.agents import Agent
from rltransfer.errors import RecipeError, TransferError
from rltransfer.fits import same_arrays
from rltransfer.layers import LayerGroup
from rltransfer.methods import Method
from rltransfer.recipe import Recipe
from rltransfer.training.terms.teacher import Teacher
from rltransfer.training.terms.term import Term

if TYPE_CHECKING:
    from rltransfer.source_states import SourceStates


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
        carried: Of those that were padded or mapped, which entries did.
        make_teacher: Makes the source's policy on the target's spaces.
        make_states: Lets the source play a number of steps of tasks, by default of its own.
        seed: Seed of the run; None for none.
        masks: Which entries of weights train, by parameter name, where the source was widened.
        added: Which entries are new there.

    What methods ask for more than once, teacher and states, is made once.
    """

    model: Any
    agent: Agent
    target: str
    recipe: Recipe
    groups: Mapping[str, LayerGroup]
    copied: frozenset[str]
    carried: Mapping[str, Tensor]
    make_teacher: Callable[[], Teacher]
    make_states: Callable[[int, Sequence[str]], SourceStates]
    seed: int | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    added: Mapping[str, Tensor] = field(default_factory=dict)
    _states: dict[tuple[int, tuple[str, ...]], SourceStates] = field(
        default_factory=dict, init=False
    )

    @cached_property
    def teacher(self) -> Teacher:
        """The source's policy on the target's spaces.

        Raises:
            RecipeError: It cannot act there.
        """
        return self.make_teacher()

    def source_states(
        self, count: int, *, tasks: Sequence[str] = (), shown: bool = True
    ) -> SourceStates:
        """Steps of the source on its own task, the same for all who ask for as many.

        Args:
            count: Number of states.
            tasks: Other tasks that it is to play instead, for equally many steps each.
            shown: Whether the learner is to be shown them, and not the source alone.

        Raises:
            RecipeError: Its task is not known, or shows other observations than the target and the
                learner is to be shown them.
        """
        if shown:
            self._require_same_observations()
        key = count, tuple(tasks)
        if key not in self._states:
            try:
                self._states[key] = self.make_states(count, tasks)
            except TransferError as error:
                raise RecipeError(f"a method of the recipe cannot work: {error}") from error
        return self._states[key]

    def _require_same_observations(self) -> None:
        source, target = self.agent.observation_space, self.model.observation_space
        mapped = self.recipe.inputs is not None or self.recipe.pad_inputs
        shown = ", as the recipe pads or maps inputs" if mapped else f", {target}"
        if mapped or not same_arrays(source, target):
            raise RecipeError(
                f"a method of the recipe shows the learner what the source observes on its own "
                f"task, {source}, which is not what the target shows{shown}: register the "
                "target with a Gymnasium wrapper that shows what the source saw, or take a method "
                "that works in the target's states, such as Kickstart()"
            )

    def from_source(self, name: str) -> Tensor:
        """Which entries of a parameter came from the source, of its shape."""
        parameter = self.model.policy.get_parameter(name)
        if name not in self.copied:
            return torch.zeros_like(parameter, dtype=torch.bool)
        found = torch.ones_like(parameter, dtype=torch.bool)
        if name in self.carried:
            found &= self.carried[name].to(parameter.device)
        return found & ~self.added[name] if name in self.added else found

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
