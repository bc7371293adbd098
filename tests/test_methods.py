"""What every method has to keep, whatever it does: JSON, errors, training, resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import rltransfer as rlt
from rltransfer.errors import RecipeError, UnknownName
from rltransfer.experiments.finetuning import finetune
from rltransfer.methods import (
    EWC,
    L2,
    L2SP,
    METHODS,
    ROLES,
    Cloning,
    Demonstrations,
    Dropout,
    JumpStart,
    Kickstart,
    LoRA,
    Method,
    Progressive,
    ProximalDistillation,
    Residual,
    Smoothing,
    SourceTrajectories,
)
from rltransfer.recipe import Recipe

TARGET = "rlt/CartPoleLong-v0"
SMALL: dict[str, Any] = {"n_envs": 4, "n_steps": 32, "batch_size": 64, "n_epochs": 2}
BRIEF: dict[str, Any] = {"points": 2, "episodes": 2, "checkpoint_every": 256, **SMALL}


def test_there_are_methods_for_each_name() -> None:
    assert all(kind.name == name and kind.role in ROLES for name, kind in METHODS.items())


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_with_it_comes_back_from_json(name: str) -> None:
    given = Recipe(**{METHODS[name].role: METHODS[name]()})
    again = Recipe.from_dict(json.loads(given.to_json()))
    assert again == given and hash(again) == hash(given) and again.methods == given.methods


@pytest.mark.parametrize("name", METHODS)
def test_it_is_refused_in_another_field(name: str) -> None:
    other = next(role for role in ROLES if role != METHODS[name].role)
    with pytest.raises(RecipeError, match=f"write {METHODS[name].role}="):
        Recipe(**{other: METHODS[name]()})


@pytest.mark.parametrize("name", METHODS)
def test_it_trains_and_what_it_saves_is_an_ordinary_model(name: str, tmp_path: Path) -> None:
    recipe = Recipe(**{METHODS[name].role: METHODS[name]()})
    model = rlt.adapt("cartpole", TARGET, recipe, seed=0, **SMALL)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(512)
    after = model.policy.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert all(torch.isfinite(value).all() for value in after.values())
    model.save(tmp_path / "model.zip")
    seen = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    plain = PPO.load(tmp_path / "model.zip", device="cpu")
    assert np.array_equal(
        plain.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0]
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_was_interrupted_goes_on_to_the_same_numbers(name: str, tmp_path: Path) -> None:
    recipe = Recipe(**{METHODS[name].role: METHODS[name]()})
    whole = finetune("cartpole", TARGET, recipe, steps=768, seed=3, **BRIEF)
    parts = _interrupted(recipe, tmp_path)
    assert np.array_equal(whole.run.returns, parts.run.returns)
    pairs = zip(whole.model.policy.parameters(), parts.model.policy.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def _interrupted(recipe: Recipe, folder: Path) -> Any:
    calls = 0

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if done >= 512 and calls < 100:
            calls = 100
            raise Stopped

    with pytest.raises(Stopped):
        finetune("cartpole", TARGET, recipe, steps=768, seed=3, out=folder, report=stop, **BRIEF)
    return finetune("cartpole", TARGET, recipe, steps=768, seed=3, out=folder, **BRIEF)


def test_one_method_may_stand_alone_and_may_be_data() -> None:
    alone = Recipe(retain=Kickstart())
    assert alone == Recipe(retain=[Kickstart()])
    assert alone == Recipe(retain=[{"method": "kickstart"}])  # type: ignore[list-item]
    assert alone.but(retain=()) == Recipe()


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"retain": "kickstart"}, RecipeError, "expected a method"),
        ({"retain": [Kickstart(), Kickstart(strength=1)]}, RecipeError, "twice"),
        ({"retain": [{"method": "kikstart"}]}, UnknownName, "kickstart"),
        ({"retain": [{"method": "kickstart", "strenght": 1}]}, UnknownName, "strength"),
        ({"retain": [{}]}, RecipeError, "no method"),
        ({"retain": [{"method": []}]}, UnknownName, "method"),
        ({"retain": [{"method": "ewc", "tasks": 5}]}, RecipeError, "list of texts"),
        ({"retain": Kickstart(fade="performance"), "guide": JumpStart()}, RecipeError, "both"),
        ({"lr_scale": {"*": 10**400}}, RecipeError, "expected a number"),
        ({"temperature": 10**400}, RecipeError, "expected a number"),
        ({"log_std": -(10**400)}, RecipeError, "expected a number"),
        ({"retain": 3}, RecipeError, "expected a method"),
    ],
)
def test_what_is_no_method_is_refused(given: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Recipe(**given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Kickstart, {"strength": 0}),
        (Kickstart, {"strength": float("nan")}),
        (Kickstart, {"until": 1.5}),
        (Kickstart, {"fade": "slowly"}),
        (Kickstart, {"fade": np.array(["linear", "constant"])}),
        (L2SP, {"fresh": -1}),
        (L2SP, {"strength": "much"}),
        (L2SP, {"strength": 10**400}),
        (L2, {"critic": 1}),
        (SourceTrajectories, {"importance": 0}),
        (SourceTrajectories, {"importance": False, "most": 3}),
        (JumpStart, {"mode": "random", "stages": 3}),
        (JumpStart, {"mode": "random", "tolerance": 0.5}),
        (Cloning, {"tasks": None}),
        (Cloning, {"tasks": {"CartPole-v1"}}),
        (Cloning, {"tasks": "CartPole-v1"}),
    ],
)
def test_values_out_of_range_are_refused(kind: type[Method], given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)


def test_zero_has_one_sign() -> None:
    assert json.dumps(L2SP(fresh=-0.0).to_dict()) == json.dumps(L2SP(fresh=0.0).to_dict())


ACTING = (
    *(Kickstart(), ProximalDistillation(), Cloning(states=8), EWC(states=8), L2SP(), Smoothing()),
    *(Demonstrations(states=8), LoRA(), Residual(), Progressive(), Dropout()),
)


@pytest.mark.parametrize("method", ACTING, ids=lambda one: one.name)
def test_what_acts_on_an_actor_that_never_trains_is_refused(method: Method) -> None:
    frozen = Recipe(freeze=["actor.*"])
    with pytest.raises(RecipeError, match="freeze less, or drop it"):
        rlt.adapt("cartpole", TARGET, frozen.but(**{method.role: method}), seed=0)
    thawed = frozen.but(thaw={"actor.head": 0.3}, **{method.role: method})
    rlt.adapt("cartpole", TARGET, thawed, seed=0)


def test_what_ends_before_the_actor_trains_is_refused() -> None:
    late = Recipe(freeze=["*", "!critic.*"], thaw={"actor.*": 0.5}, retain=Kickstart(until=0.4))
    with pytest.raises(RecipeError, match=r"ends at 0.4 of training, .* trains from 0.5"):
        rlt.adapt("cartpole", TARGET, late, seed=0)


def test_deviations_alone_are_no_matrices() -> None:
    recipe = Recipe(freeze=["*", "!critic.*", "!actor.std"], critic="keep", grow=LoRA())
    with pytest.raises(RecipeError, match="freeze less, or drop it"):
        rlt.adapt("pendulum", "Pendulum-v1", recipe, seed=0)


def test_what_is_near_a_source_needs_copied_weights() -> None:
    with pytest.raises(RecipeError, match="use L2"):
        rlt.adapt("cartpole", TARGET, rlt.recipes["scratch"].but(regularize=L2SP()), seed=0)


def test_a_recurrent_learner_refuses_methods_that_add_to_the_update() -> None:
    options = {"n_envs": 1, "n_steps": 16, "batch_size": 16}
    lstm_agent = rlt.pretrain(
        "CartPole-v1", 16, algorithm="recurrent_ppo", episodes=2, max_steps=20, **options
    )
    with pytest.raises(RecipeError, match="sb3-contrib"):
        rlt.adapt(lstm_agent, "CartPole-v1", Recipe(regularize=L2SP()))


def test_the_report_says_what_updates_by_autograd() -> None:
    written = rlt.adapt("cartpole", TARGET, Recipe(regularize=L2SP()), seed=0, **SMALL)
    assert "acts and updates by  closed form" in written.engine_report()
    asked = rlt.adapt("cartpole", TARGET, Recipe(grow=LoRA()), seed=0, **SMALL)
    assert "updates by     autograd" in asked.engine_report()
    assert "acts by        closed form" in asked.engine_report()
