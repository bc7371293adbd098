from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import numpy as np
import pytest

import rltransfer as rlt
from rltransfer.errors import BadArgument, RecipeError, UnknownName
from rltransfer.methods import METHODS
from rltransfer.presets import PRESETS, recipe
from rltransfer.recipe import Recipe

GROUPS = ["actor.0", "actor.1", "critic.*", "trunk", "heads", "*"]


def _some(rng: random.Random, one: Any, least: int = 0) -> list[Any]:
    return [one() for _ in range(rng.randint(least, 3))]


def _random_recipe(rng: random.Random) -> Recipe:
    """Draw each field with probability 1/2, within its range."""
    name = lambda: rng.choice(GROUPS)  # noqa: E731
    index = lambda: rng.choice([None, 0, 1, 7])  # noqa: E731
    draws: dict[str, Any] = {
        "freeze": lambda: _some(rng, name, 1),
        "reset": lambda: _some(rng, name),
        "lr_decay": lambda: rng.uniform(0.1, 1.0),
        "lr_scale": lambda: {name(): rng.uniform(0.1, 5) for _ in range(2)},
        "inputs": lambda: _some(rng, index, 1),
        "outputs": lambda: _some(rng, index, 1),
        "log_std": lambda: rng.choice(["copy", "reset", -0.7, rng.uniform(-3, 1)]),
        "temperature": lambda: rng.choice([1, 2, rng.uniform(0.1, 9)]),
        "optimizer": lambda: rng.choice(["fresh", "source"]),
        "obs_stats": lambda: rng.choice(["copy", "freeze", "reset"]),
        "obs_count": lambda: rng.choice([100, 1e4, rng.uniform(1, 1e6)]),
        "return_stats": lambda: rng.choice(["auto", "copy", "reset"]),
        "critic": lambda: rng.choice(["auto", "keep", "reset", "refit"]),
    }
    chosen = {field: draw() for field, draw in draws.items() if rng.random() < 0.5}
    if "freeze" in chosen and rng.random() < 0.5:
        chosen["thaw"] = rng.choice(["top_down", "bottom_up", {name(): rng.uniform(0.1, 0.9)}])
        if isinstance(chosen["thaw"], str):
            chosen["thaw_by"] = rng.uniform(0.1, 0.9)
    if chosen.get("critic") in ("auto", "refit"):
        chosen["refit_rollouts"] = rng.randint(1, 4)
    if "inputs" not in chosen:
        chosen["pad_inputs"] = rng.random() < 0.5
    return Recipe(**chosen)


@pytest.mark.parametrize("seed", range(60))
def test_a_recipe_survives_json(seed: int) -> None:
    made = _random_recipe(random.Random(seed))
    again = Recipe.from_dict(json.loads(made.to_json()))
    assert again == made
    assert hash(again) == hash(made)
    assert again.to_json() == made.to_json()
    assert again.but() == made


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json_and_are_found_by_name(name: str) -> None:
    assert Recipe.from_dict(json.loads(PRESETS[name].to_json())) == PRESETS[name]
    assert recipe(name) is PRESETS[name]
    assert recipe(PRESETS[name]) is PRESETS[name]


def test_the_presets_cannot_be_replaced_and_one_shows_each_method() -> None:
    assert list(rlt.recipes)[:2] == ["scratch", "full"] and "auto" in rlt.recipes
    assert len({recipe.to_json() for recipe in PRESETS.values()}) == len(PRESETS)
    shown = {method.name for recipe in PRESETS.values() for method in recipe.methods}
    assert shown == METHODS.keys()
    with pytest.raises(TypeError):
        rlt.recipes["full"] = Recipe(lr_decay=0.5)  # pyright: ignore


def test_defaults_are_not_written() -> None:
    assert Recipe().to_json() == "{}"
    assert Recipe(freeze=["trunk"], lr_decay=1).to_json() == '{"freeze": ["trunk"]}'


def test_equal_recipes_have_equal_hashes_and_json() -> None:
    pairs = [
        (Recipe(temperature=2), Recipe(temperature=2.0)),
        (Recipe(lr_scale={"actor.0": 1}), Recipe(lr_scale={"actor.0": np.float32(1)})),
        (Recipe(inputs=np.arange(3)[[2, 0]].tolist()), Recipe(inputs=[2, 0])),
        (Recipe(inputs=list(np.arange(2))), Recipe(inputs=(0, 1))),
        (Recipe(freeze=[]), Recipe()),
        (
            Recipe(freeze=["*.0", "actor.1"], thaw={"actor.0": 0.5, "*.0": 0.1}),
            Recipe(freeze=["*.0", "actor.1"], thaw={"*.0": 0.1, "actor.0": 0.5}),
        ),
    ]
    for first, second in pairs:
        assert first == second
        assert first.to_json() == second.to_json()
        assert hash(first) == hash(second)


def test_a_recipe_keeps_copies_of_what_it_was_given() -> None:
    freeze, scale = ["actor.0"], {"actor.1": 0.5}
    made = Recipe(freeze=freeze, lr_scale=scale)
    freeze.append("actor.1")
    scale["critic.0"] = 2.0
    assert made == Recipe(freeze=["actor.0"], lr_scale={"actor.1": 0.5})


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().freeze = ("actor.0",)  # pyright: ignore


NAN, INF = float("nan"), float("inf")
BAD: list[dict[str, Any]] = [
    {"freeze": "trunk"},
    {"freeze": None},
    {"freeze": 3},
    {"freeze": [3]},
    {"freeze": [""]},
    {"freeze": ["!"]},
    {"freeze": ["!heads"]},
    {"freeze": {"trunk"}},
    {"reset": "actor.0"},
    {"reset": [None]},
    {"reset": ["!actor.0", "*"]},
    {"thaw": None, "freeze": ["trunk"]},
    {"thaw": [0.3], "freeze": ["trunk"]},
    {"thaw": "sideways", "freeze": ["trunk"]},
    {"thaw": {"actor.0": 0}, "freeze": ["trunk"]},
    {"thaw": {"actor.0": 1}, "freeze": ["trunk"]},
    {"thaw": {"actor.0": 1.5}, "freeze": ["trunk"]},
    {"thaw": {"actor.0": -0.1}, "freeze": ["trunk"]},
    {"thaw": {"actor.0": NAN}, "freeze": ["trunk"]},
    {"thaw": {"actor.0": "0.3"}, "freeze": ["trunk"]},
    {"thaw": {"actor.0": True}, "freeze": ["trunk"]},
    {"thaw": {0: 0.3}, "freeze": ["trunk"]},
    {"thaw": {"!actor.0": 0.3}, "freeze": ["trunk"]},
    {"thaw_by": 0},
    {"thaw_by": 1},
    {"thaw_by": NAN},
    {"lr_decay": 0},
    {"lr_decay": 1.01},
    {"lr_decay": -1},
    {"lr_decay": NAN},
    {"lr_decay": True},
    {"lr_decay": "0.5"},
    {"lr_scale": {"actor.0": 0}},
    {"lr_scale": {"actor.0": -1}},
    {"lr_scale": {"actor.0": INF}},
    {"lr_scale": {"!heads": 2}},
    {"lr_scale": None},
    {"lr_scale": [("actor.0", 2)]},
    {"pad_inputs": 1},
    {"pad_inputs": "yes"},
    {"inputs": "01"},
    {"inputs": 4},
    {"inputs": [-1]},
    {"inputs": [0.5]},
    {"inputs": [True]},
    {"outputs": ["0"]},
    {"outputs": [-2]},
    {"log_std": "fresh"},
    {"log_std": None},
    {"log_std": NAN},
    {"log_std": INF},
    {"log_std": -INF},
    {"log_std": True},
    {"temperature": 0},
    {"temperature": -1},
    {"temperature": INF},
    {"temperature": NAN},
    {"temperature": None},
    {"optimizer": "adam"},
    {"optimizer": None},
    {"obs_stats": "keep"},
    {"obs_count": 0},
    {"obs_count": -5},
    {"obs_count": INF},
    {"return_stats": "freeze"},
    {"critic": "kept"},
    {"critic": True},
    {"refit_rollouts": 0},
    {"refit_rollouts": 1.5},
    {"refit_rollouts": True},
    {"select": "zeroshot"},
    {"select": True},
]


@pytest.mark.parametrize("fields", BAD, ids=str)
def test_every_field_is_checked_and_named(fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(**fields)
    message = str(caught.value)
    assert next(iter(fields)) in message
    assert "\n" not in message


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"thaw": {"actor.0": 0.3}}, "freeze is empty"),
    ({"thaw": "top_down"}, "freeze is empty"),
    ({"freeze": ["trunk"], "thaw_by": 0.3}, "thaw_by=0.3 is for thaw='top_down'"),
    ({"freeze": ["*.0"], "thaw": {"*.0": 0.5}, "thaw_by": 0.3}, "thaw_by"),
    ({"pad_inputs": True, "inputs": [0]}, "both given"),
    ({"critic": "keep", "refit_rollouts": 2}, "refit_rollouts=2 is for critic='refit'"),
    ({"critic": "reset", "refit_rollouts": 2}, "refit_rollouts=2 is for critic='refit'"),
    ({"select": "zero_shot", "freeze": ["trunk"]}, "chooses freeze itself: drop"),
    ({"select": "zero_shot", "critic": "reset", "lr_decay": 0.5}, "chooses critic, lr_decay"),
]


@pytest.mark.parametrize(("fields", "message"), CONTRADICTIONS, ids=str)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe(**fields)


def test_the_cure_for_an_exclusion_from_nothing_works() -> None:
    with pytest.raises(RecipeError, match=r"write freeze=\['\*', '!heads'\]"):
        Recipe(freeze=["!heads"])
    assert Recipe(freeze=["*", "!heads"]).freeze == ("*", "!heads")


def test_select_leaves_the_maps_to_the_user() -> None:
    assert Recipe(select="zero_shot", pad_inputs=True).pad_inputs
    assert Recipe(select="zero_shot", inputs=[1, 0], outputs=[0]).outputs == (0,)


@pytest.mark.parametrize("make", [Recipe.from_dict, lambda data: Recipe().but(**data)])
def test_an_unknown_field_gets_a_suggestion(make: Any) -> None:
    with pytest.raises(UnknownName, match=r"'freezed'.*Did you mean 'freeze'"):
        make({"freezed": ["trunk"]})


def test_an_unknown_preset_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match=r"'grdual'.*Did you mean 'gradual'"):
        recipe("grdual")


@pytest.mark.parametrize("given", [None, 3, {"freeze": ["trunk"]}])
def test_what_is_no_recipe_is_refused(given: Any) -> None:
    with pytest.raises(BadArgument, match="give a Recipe, or one of scratch, full"):
        recipe(given)


def test_but_keeps_everything_else_and_checks_again() -> None:
    base = Recipe(freeze=["trunk"], lr_decay=0.5)
    assert base.but(lr_decay=0.25) == Recipe(freeze=["trunk"], lr_decay=0.25)
    with pytest.raises(RecipeError, match="lr_decay"):
        base.but(lr_decay=2)
