"""Elastic weight consolidation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rltransfer.errors import RecipeError
from rltransfer.methods import EWC
from rltransfer.training.terms.fisher import fisher
from rltransfer.training.terms.pull import FadingPull, Pulled
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Term
from rltransfer.training.terms.weights import require_actor


class EWCTerm(FadingPull):
    """Squared distances from the source's weights, each by what the source's actions owe to it.

    Args:
        method: The method.
        pulled: The copied parameters, weighed by their Fisher information.
        steps: Environment steps that the states for it took.
    """

    def __init__(self, method: EWC, pulled: Sequence[Pulled], steps: int) -> None:
        super().__init__(method, pulled)
        self._steps = steps

    def end(self) -> dict[str, float]:
        """Say what the states cost, on another task than the target."""
        return {"source_steps": self._steps}


@term_of.register
def _(method: EWC, setting: Setting) -> Term:
    require_actor(method, setting.model)
    copied = {k: v for k, v in setting.parameters().items() if k in setting.copied}
    if not copied:
        raise RecipeError(
            "EWC() holds the copied weights of trunk and actor, and the recipe resets them all: "
            "copy some, or drop EWC()"
        )
    found = setting.source_states(method.states, tasks=method.tasks)
    information = fisher(setting.teacher, found.observations, copied)
    pulled = []
    for name, one in copied.items():
        known = information[name].clamp(min=method.floor)
        weight = torch.where(setting.from_source(name), known, 0.0)
        pulled.append(Pulled(name, one, one.detach().clone(), weight))
    return EWCTerm(method, pulled, found.steps)
