"""Learning from the source's trajectories: weights by hand, and what a learner gains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from transfer_cases import KINDS, adapted, same, source, tensors, toy, train

import rltransfer as rlt
from rltransfer.errors import RecipeError
from rltransfer.methods import Demonstrations, SourceTrajectories
from rltransfer.recipe import Recipe
from rltransfer.source_states import source_states
from rltransfer.training.terms.importance import density_ratio, effective_samples
from rltransfer.training.terms.lessons import translated

SMALL: dict[str, Any] = {"n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 2}
QUICK: dict[str, Any] = {**SMALL, "n_epochs": 10, "learning_rate": 3e-3}
FRESH_ACTOR = Recipe(reset=["actor.*"])
SLOW = "rlt/CartPoleSlowControl-v0"


# -- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "std"), [(1.0, 1.0), (0.5, 0.7)])
def test_ratios_of_normal_densities_by_hand(mean: float, std: float) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40_000, 1)), rng.normal(mean, std, size=(20_000, 1))
    at = np.linspace(-1, 2, 7)[:, None]
    found = density_ratio(target, np.concatenate([source, at]))[-7:]
    by_hand = np.exp(at**2 / 2 - ((at - mean) / std) ** 2 / 2) / std
    assert found == pytest.approx(by_hand[:, 0], rel=0.12)


def test_states_that_are_the_targets_own_have_ratio_one() -> None:
    states = np.random.default_rng(0).normal(size=(500, 3))
    assert density_ratio(states, states) == pytest.approx(np.ones(500), abs=1e-3)


def test_tasks_without_a_common_state_give_no_infinite_ratio() -> None:
    near, far = np.zeros((50, 2)), np.ones((70, 2))
    assert np.isfinite(density_ratio(near, far)).all() and density_ratio(near, far).max() < 0.1


def test_samples_that_count_by_hand() -> None:
    assert effective_samples(np.ones(5)) == 5
    assert effective_samples(np.array([3.0, 1.0])) == pytest.approx(16 / 10)


# -- what it is for -------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"importance": False}, {"temperature": 1.0}])
def test_a_fresh_actor_starts_with_what_the_source_does(given: Any) -> None:
    recipe = FRESH_ACTOR.but(imitate=SourceTrajectories(**given))
    before, after = [], []
    for seed in (0, 100):
        model = rlt.adapt("cartpole", SLOW, recipe, seed=seed, **{**SMALL, "n_steps": 256})
        before.append(rlt.evaluate(model, SLOW, episodes=10).mean)
        model.learn(1024)
        after.append(rlt.evaluate(model, SLOW, episodes=10).mean)
        assert model.num_timesteps == 1024, "the source's own steps are on another task"
    assert np.mean(after) > 3 * np.mean(before)


def test_it_takes_the_first_rollout_and_the_actor_alone() -> None:
    model = rlt.adapt(
        "cartpole", SLOW, FRESH_ACTOR.but(imitate=SourceTrajectories(states=256)), seed=0, **SMALL
    )
    before = tensors(model)
    model.learn(256)
    kept = same(before, tensors(model))
    assert kept == {key for key in before if "value" in key}
    assert model._n_updates == 0, "PPO has not updated"
    logged = model.logger.name_to_value
    assert 1 < logged["transfer/source_trajectories/effective_samples"] <= 256
    model.learn(256, reset_num_timesteps=False)
    assert model._n_updates == SMALL["n_epochs"]


def test_deviations_stay_to_explore_with() -> None:
    recipe = FRESH_ACTOR.but(imitate=SourceTrajectories(states=64))
    KINDS["box"].task()
    with adapted("box", KINDS["box"].task(flip=True), recipe) as model:
        before = model.policy.log_std.clone()
        model.learn(32)
        assert torch.equal(before, model.policy.log_std)


def test_swapped_actions_are_translated() -> None:
    swapped = "rlt/CartPoleSwapped-v0"
    method = SourceTrajectories(importance=False)
    scores = {}
    for outputs in ((0, 1), (1, 0)):
        recipe = FRESH_ACTOR.but(outputs=outputs, imitate=method)
        model = rlt.adapt("cartpole", swapped, recipe, seed=0, **SMALL)
        model.learn(256)
        scores[outputs] = rlt.evaluate(model, swapped, episodes=5).mean
    assert scores[1, 0] > 5 * scores[0, 1]


def test_a_fresh_network_that_normalizes_by_batches_learns_its_statistics() -> None:
    KINDS["batchnorm"].task()
    recipe = Recipe(
        reset=["trunk", "heads"], imitate=SourceTrajectories(states=64, importance=False)
    )
    with adapted("batchnorm", KINDS["batchnorm"].task(), recipe) as model:
        model.learn(32)
        found = dict(model.policy.named_buffers())
        means = [one for name, one in found.items() if name.endswith("running_mean")]
        assert not model._n_updates and means and all((one != 0).any() for one in means)


def test_demonstrations_make_what_was_shown_likelier() -> None:
    held = source_states(rlt.load("cartpole"), 500, seed=9)
    seen, taken = torch.as_tensor(held.observations), torch.as_tensor(held.actions)
    likely = {}
    shown = Demonstrations(strength=5, fade="constant")
    for name, imitate in {"alone": (), "shown": shown}.items():
        model = rlt.adapt("cartpole", SLOW, FRESH_ACTOR.but(imitate=imitate), seed=0, **QUICK)
        model.learn(1024)
        with torch.no_grad():
            likely[name] = model.policy.evaluate_actions(seen, taken)[1].mean().item()
    assert likely["shown"] > likely["alone"] + 0.1


@pytest.mark.parametrize("kind", ["discrete", "box", "multibinary", "gsde", "normalized", "dict"])
def test_all_kinds_of_spaces_are_imitated(kind: str) -> None:
    flat = kind not in ("multibinary", "dict")
    method = SourceTrajectories(states=64, importance=flat)
    recipe = Recipe(imitate=[method, Demonstrations(states=64, until=1)])
    KINDS[kind].task()  # The source's own, which is to be found by its name.
    with adapted(kind, KINDS[kind].task(flip=True), recipe) as model:
        model.learn(96)
        assert model.logger.name_to_value["transfer/demonstrations/loss"] > -50
        assert all(torch.isfinite(p).all() for p in model.policy.parameters())


@pytest.mark.parametrize("actions", ["number", "square"])
def test_boxes_of_any_shape_are_as_likely_as_their_numbers(actions: str) -> None:
    agent = train(toy("v4", actions), 64)
    recipe = Recipe(imitate=Demonstrations(states=6))
    with adapted(agent, agent.card.task, recipe) as model, torch.no_grad():
        lessons = model.transfer.terms.terms[0]._lessons
        seen, rows = torch.as_tensor(lessons.states.observations), torch.arange(6)
        shown = torch.as_tensor(lessons.states.actions).reshape(6, -1)
        _, expected, _ = model.policy.evaluate_actions(seen, shown)
        assert torch.allclose(lessons.log_prob(model.policy, seen, rows), expected)


# -- what is refused ------------------------------------------------------------------------------


def test_observations_that_are_no_columns_are_refused() -> None:
    with pytest.raises(RecipeError, match="importance=False"):
        rlt.adapt(source("dict"), KINDS["dict"].task(), Recipe(imitate=SourceTrajectories()))


def test_an_actor_that_is_frozen_is_refused() -> None:
    with pytest.raises(RecipeError, match="frozen"):
        rlt.adapt("cartpole", SLOW, Recipe(freeze=["actor.*"], imitate=SourceTrajectories()))


def test_actions_are_translated_or_refused() -> None:
    two, three = spaces.Discrete(2), spaces.Discrete(3)
    box = spaces.Box(-1, 1, (2,))
    taken = np.array([0, 1, 1])
    assert translated(taken, two, two, None) is taken
    assert translated(taken, two, three, [1, None, 0]).tolist() == [2, 0, 0]
    assert translated(np.array([[1.0, 2.0]]), box, box, [1, 0]).tolist() == [[2, 1]]
    with pytest.raises(RecipeError, match="map them"):
        translated(taken, two, three, None)
    with pytest.raises(RecipeError, match="no counterpart of its action 1"):
        translated(taken, two, two, [0, None])
    with pytest.raises(RecipeError, match="None"):
        translated(np.zeros((1, 2)), box, box, [0, None])


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (SourceTrajectories, {"states": 1}),
        (SourceTrajectories, {"epochs": 0}),
        (SourceTrajectories, {"batch_size": 0}),
        (SourceTrajectories, {"learning_rate": 0}),
        (SourceTrajectories, {"importance": "yes"}),
        (SourceTrajectories, {"most": 0}),
        (SourceTrajectories, {"temperature": 0}),
        (Demonstrations, {"states": 0}),
        (Demonstrations, {"strength": 0}),
    ],
)
def test_values_out_of_range_are_refused(kind: Any, given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)
