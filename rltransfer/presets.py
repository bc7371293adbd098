"""Recipes with a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from rltransfer.errors import BadArgument, RecipeError, UnknownName, suggest
from rltransfer.methods import (
    CORAL,
    DANN,
    EWC,
    L1,
    L2,
    L2SP,
    MMD,
    WAPPO,
    Cloning,
    Demonstrations,
    DrAC,
    Dropout,
    JumpStart,
    Kickstart,
    L2Init,
    LoRA,
    Parseval,
    Progressive,
    ProximalDistillation,
    ReDo,
    Residual,
    Shaping,
    ShrinkPerturb,
    Smoothing,
    SoftShrinkPerturb,
    SourceTrajectories,
)
from rltransfer.recipe import Recipe
from rltransfer.recipe_rules import BOTTOM_UP, TOP_DOWN

# Everything fresh: the control that every gain is measured against.
_SCRATCH = Recipe(
    reset=["*"], log_std="reset", obs_stats="reset", return_stats="reset", critic="reset"
)
_ACTOR_FRESH = Recipe(reset=["actor.*"])

_PRESETS = {
    "scratch": _SCRATCH,
    # What is carried over, what is frozen, and how fast it learns.
    "full": Recipe(),
    "head": Recipe(freeze=["trunk"]),
    "gradual": Recipe(freeze=["trunk"], thaw=TOP_DOWN),
    "bottom-up": Recipe(freeze=["trunk"], thaw=BOTTOM_UP),
    "lpft": Recipe(freeze=["trunk"], thaw={"trunk": 0.1}),
    "discriminative": Recipe(lr_decay=0.4),
    "new-heads": Recipe(reset=["heads"], critic="refit"),
    "new-actor-head": Recipe(reset=["actor.head"]),
    # As full, but a confident source explores again: for discrete actions, for continuous ones.
    "softened": Recipe(temperature=2),
    "explore": Recipe(log_std=-0.5),
    # Staying close to what the source does.
    "kickstart": Recipe(retain=Kickstart()),
    "kickstart-performance": Recipe(retain=Kickstart(fade="performance", until=1)),
    "proximal-distillation": Recipe(retain=ProximalDistillation()),
    "cloning": Recipe(retain=Cloning()),
    "ewc": Recipe(retain=EWC()),
    # The source teaches a network that starts from scratch.
    "distillation": _SCRATCH.but(retain=Kickstart()),
    "shaping": _SCRATCH.but(guide=Shaping()),
    "jump-start": _SCRATCH.but(guide=JumpStart()),
    "instances": _ACTOR_FRESH.but(imitate=SourceTrajectories()),
    "demonstrations": _ACTOR_FRESH.but(imitate=Demonstrations()),
    # Weights that stay small or near, outputs that stay smooth.
    "l1": Recipe(regularize=L1()),
    "l2": Recipe(regularize=L2()),
    "l2-sp": Recipe(regularize=L2SP()),
    "l2-init": Recipe(regularize=L2Init()),
    "parseval": Recipe(regularize=Parseval()),
    "dropout": Recipe(regularize=Dropout()),
    "smoothing": Recipe(regularize=Smoothing()),
    "drac": Recipe(regularize=DrAC()),
    # Features of source and target made alike.
    "coral": Recipe(align=CORAL()),
    "mmd": Recipe(align=MMD()),
    "dann": Recipe(align=DANN()),
    "wappo": Recipe(align=WAPPO()),
    # More weights.
    "residual": Recipe(grow=Residual()),
    "progressive": Recipe(grow=Progressive()),
    "lora": Recipe(grow=LoRA()),
    # Plasticity.
    "shrink-perturb": Recipe(renew=ShrinkPerturb()),
    "soft-shrink-perturb": Recipe(renew=SoftShrinkPerturb()),
    "redo": Recipe(renew=ReDo()),
    # Chosen for the target.
    "auto": Recipe(select="auto"),
    "by-zero-shot": Recipe(select="zero_shot"),
    "by-similarity": Recipe(select="similarity"),
}
PRESETS: Mapping[str, Recipe] = MappingProxyType(_PRESETS)


def recipe(name: str | Recipe) -> Recipe:
    """Return a preset by name, or read a recipe from a file; a recipe is returned as it is.

    Args:
        name: A recipe, the name of a preset, or a path that ends in ``.json``, of what
            :meth:`Recipe.to_json` gave.

    Raises:
        UnknownName: No preset has that name.
        BadArgument: It is neither a name nor a recipe, or there is no such file.
        RecipeError: The file holds no recipe.
    """
    if isinstance(name, Recipe):
        return name
    if not isinstance(name, str):
        raise BadArgument(f"recipe is {name!r}: give a Recipe, or one of {', '.join(PRESETS)}")
    if name.endswith(".json"):
        return _read(Path(name))
    if name not in PRESETS:
        raise UnknownName(suggest(name, PRESETS, kind="recipe"))
    return PRESETS[name]


def _read(path: Path) -> Recipe:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise BadArgument(f"recipe {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecipeError(f"recipe {path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {path} is no JSON object of a recipe's fields")
    return Recipe.from_dict(data)
