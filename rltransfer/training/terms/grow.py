"""Terms of :mod:`rltransfer.methods.grow`; that of LoRA has a module of its own."""

from __future__ import annotations

import math

from rltransfer.errors import RecipeError
from rltransfer.layers import LayerGroup
from rltransfer.methods import Progressive, Residual
from rltransfer.training.terms.masks import MaskTerm
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.term import Term
from rltransfer.training.terms.weights import require_actor


@term_of.register(Residual)
@term_of.register(Progressive)
def _(method: Residual | Progressive, setting: Setting) -> Term:
    require_actor(method, setting.model, std=False)
    for group in setting.groups.values():
        _check(group, type(method).__name__, setting)
    return MaskTerm(method.name, setting.parameters(), setting.masks)


def _check(group: LayerGroup, method: str, setting: Setting) -> None:
    if any(key in setting.masks and key not in setting.copied for key in group.parameters):
        raise RecipeError(
            f"{method} builds on the source's {group.name}, which is to start fresh: take it out "
            "of reset, or drop the method"
        )
    front, found, _ = group.name.partition("features.")
    trains = setting.model.transfer.scheduler.plans[group.name].trains_from < math.inf
    if found and trains and group.parameters and front != "critic.":
        raise RecipeError(
            f"{method} builds on the source's layers as they are, but its features extractor "
            f"trains: write freeze=[{front + found + '*'!r}]"
        )
