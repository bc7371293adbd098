"""Linear probing before fine-tuning, thawing in both directions, and slower lower layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rltransfer.recipe import Recipe
from tests.transfer_cases import KINDS, adapted, layer_keys, tensors

PROBE_FIRST = Recipe(freeze=["trunk"], thaw={"trunk": 0.1})
TOP_DOWN = Recipe(freeze=["trunk"], thaw="top_down")
BOTTOM_UP = Recipe(freeze=["trunk"], thaw="bottom_up")
SLOWER_BELOW = Recipe(lr_decay=0.4)
ROLLOUTS, STEPS = 20, 32


def _first_moves(recipe: Recipe, kind: str = "box") -> dict[str, float]:
    """Fraction of training after which each layer group first differs from the source."""
    moved: dict[str, float] = {}
    with adapted(kind, KINDS[kind].task(), recipe, n_steps=STEPS // 2) as model:
        before = tensors(model)
        keys = {name: layer_keys(model, name) for name in model.transfer.scheduler.groups}

        def look(*_: Any) -> bool:
            now = tensors(model)
            for name, own in keys.items():
                if any(not torch.equal(now[key], before[key]) for key in own):
                    moved.setdefault(name, (model.num_timesteps - 2) / (ROLLOUTS * STEPS))
            return True

        model.learn(ROLLOUTS * STEPS, callback=look)
    return moved


@pytest.mark.parametrize(
    ("recipe", "times"),
    [
        (PROBE_FIRST, {"actor.0": 0.1, "actor.1": 0.1}),
        (TOP_DOWN, {"actor.0": 0.5, "actor.1": 0.25}),
        (BOTTOM_UP, {"actor.0": 0.25, "actor.1": 0.5}),
        (SLOWER_BELOW, {"actor.0": 0.05, "actor.1": 0.05}),
    ],
)
def test_layers_begin_to_train_when_they_should(recipe: Recipe, times: dict[str, float]) -> None:
    moved = _first_moves(recipe)
    critic = {name.replace("actor", "critic"): at for name, at in times.items()}
    heads = dict.fromkeys(("actor.head", "critic.head", "actor.std"), 0.05)
    # An update that ends at a fraction shows at the first step after it.
    assert moved == pytest.approx({**times, **critic, **heads}, abs=0.01)


def test_lower_layers_are_slower() -> None:
    """Adam's first step is as long as the learning rate."""
    options = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "learning_rate": 1e-3}
    with adapted("box", KINDS["box"].task(), SLOWER_BELOW, **options) as model:
        before = tensors(model)
        model.learn(32)
        after = tensors(model)
        for name, rate in {"actor.head": 1e-3, "actor.1": 4e-4, "actor.0": 1.6e-4}.items():
            for key in layer_keys(model, name):
                step = (after[key] - before[key]).abs().median().item()
                assert step == pytest.approx(rate, rel=0.05), key
