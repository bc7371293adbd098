"""Every preset on every kind of policy, and the plain zip of each."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from transfer_cases import KINDS, adapted, layer_keys, outputs, same, samples, source, tensors

import rltransfer as rlt
from rltransfer.errors import RecipeError, UnknownName
from rltransfer.methods import Fading
from rltransfer.presets import PRESETS
from rltransfer.recipe import Recipe

PLAIN = {"ppo": PPO, "maskable_ppo": MaskablePPO, "recurrent_ppo": RecurrentPPO}


WHOLE = {name for name, recipe in PRESETS.items() if not (recipe.methods or recipe.select)}
# Each is for one kind of actions.
EXPLORING = {"softened", "explore"}
OF_TRUNKS = {"head", "gradual", "bottom-up", "lpft"}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_preset_trains_every_policy(kind: str, preset: str) -> None:
    """Two rollouts and updates; what is frozen stays, what trains moves, and all is finite.

    Recipes with methods may refuse a policy, in an error that says what to do.
    """
    KINDS[kind].task()  # the source's own, which some methods let it play
    task = KINDS[kind].task(flip=True)
    if kind == "shallow" and preset in OF_TRUNKS:
        with pytest.raises(UnknownName, match="no layer group is named 'trunk'"):
            adapted(kind, task, preset).__enter__()
        return
    with ExitStack() as stack:
        try:
            model = stack.enter_context(adapted(kind, task, preset, n_epochs=1, batch_size=32))
        except RecipeError as error:
            assert preset not in WHOLE - EXPLORING and ": " in str(error)
            assert kind != "discrete" or preset == "explore", error
            return
        _train(model, preset)


def _train(model: Any, preset: str) -> None:
    before, spent = tensors(model), model.transfer.spent
    methods = model.transfer.report.recipe.methods
    # What fades is to be at work in the first update.
    soonest = min(getattr(one, "until", 1.0) for one in [*methods, Fading()])
    steps = max(spent + 64, int((spent + 32) / soonest) + 1)
    model.learn(steps)
    assert model.num_timesteps >= steps
    unchanged = same(before, tensors(model))
    frozen = model.transfer.scheduler.frozen
    assert bool(frozen) == (preset == "head")
    assert layer_keys(model, *frozen) <= unchanged if frozen else True
    moving = {n for n, p in model.policy.named_parameters() if p.requires_grad}
    assert moving and (PRESETS[preset].grow or moving.isdisjoint(unchanged))
    assert all(torch.isfinite(value).all() for value in tensors(model).values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_zip_is_plain_and_predicts_the_same(kind: str, tmp_path: Path) -> None:
    agent, task = source(kind), KINDS[kind].task()
    with adapted(kind, task, Recipe(lr_decay=0.5), n_epochs=1) as model:
        model.learn(32)
        model.save(tmp_path / "model.zip")
        plain = PLAIN[agent.algorithm].load(tmp_path / "model.zip", model.get_env(), device="cpu")
        assert type(plain) is PLAIN[agent.algorithm]
        seen = samples(model.observation_space, 6)
        mine, theirs = outputs(model, seen), outputs(plain, seen)
        assert set(mine) == set(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
        assert np.array_equal(_act(model, seen), _act(plain, seen))
        plain.learn(32)
        assert plain.num_timesteps == 32


def _act(model: Any, seen: Any) -> np.ndarray:
    return model.predict(seen, deterministic=True)[0]


@pytest.mark.parametrize("kind", ["discrete", "maskable", "recurrent", "image"])
def test_a_fine_tuned_model_is_a_source_again(kind: str) -> None:
    with adapted(kind, KINDS[kind].task(), "gradual") as model:
        model.learn(32)
        again = rlt.as_agent(model, task=KINDS[kind].task(), source="small", episodes=2)
        weights = tensors(model)
    assert again.algorithm == source(kind).algorithm and again.card.source == "small"
    with adapted(again, KINDS[kind].task(flip=True)) as model:
        assert same(weights, tensors(model)) == set(weights)
        model.learn(32)


def test_models_are_the_sb3_classes_their_users_know() -> None:
    expected = {"discrete": PPO, "maskable": MaskablePPO, "recurrent": RecurrentPPO}
    for kind, plain in expected.items():
        with adapted(kind, KINDS[kind].task()) as model:
            assert isinstance(model, plain)
