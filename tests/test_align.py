"""Methods that align features: numbers by hand, and features that come closer."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rltransfer as rlt
from rltransfer.errors import RecipeError
from rltransfer.methods import CORAL, DANN, MMD, WAPPO, Align
from rltransfer.normalizing import observation_normalizer
from rltransfer.recipe import Recipe
from rltransfer.source_states import source_states
from rltransfer.training.terms.adversaries import (
    Adversary,
    DANNTerm,
    Reversal,
    WAPPOTerm,
    reversal_at,
)
from rltransfer.training.terms.align import AlignTerm, CORALTerm, MMDTerm, covariance, squared_mmd
from rltransfer.training.terms.teacher import Teacher
from rltransfer.training.terms.term import Seen, latent_of

SCALED = "rlt/CartPoleScaled-v0"
METHODS: list[Align] = [CORAL(), MMD(), DANN(), WAPPO()]
SMALL: dict[str, Any] = {"n_envs": 4, "n_steps": 32, "batch_size": 64, "n_epochs": 2}


def named(method: Align) -> str:
    return method.name


def term_of(method: Align, source: Tensor) -> AlignTerm:
    makers: dict[type, Any] = {
        CORAL: CORALTerm,
        MMD: MMDTerm,
        DANN: lambda *given: DANNTerm(*given, seed=0),
        WAPPO: lambda *given: WAPPOTerm(*given, seed=0),
    }
    return makers[type(method)](method, source)


def at(progress: float) -> Seen:
    return Seen(model=None, observations=None, raw=None, progress=progress)


# Distances


def test_covariances_are_numpys() -> None:
    x = torch.randn(20, 3, dtype=torch.float64)
    np.testing.assert_allclose(covariance(x), np.cov(x.numpy().T))


def test_coral_by_hand() -> None:
    source = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # covariance [[2, 0], [0, 0]]
    target = torch.tensor([[5.0, 1.0], [5.0, -1.0]])  # covariance [[0, 0], [0, 2]]
    term = CORALTerm(CORAL(), source)
    assert term.distance(target).item() == pytest.approx((2**2 + 2**2) / (4 * 2**2))
    assert term.distance(source + 7).item() == 0


def test_mmd_of_two_points_by_hand() -> None:
    x, y = torch.tensor([[0.0]]), torch.tensor([[3.0]])
    # The median squared distance is 9, whatever the distance.
    kernel = np.mean([math.exp(-1 / factor) for factor in (0.25, 0.5, 1, 2, 4)])
    assert squared_mmd(x, y).item() == pytest.approx(2 - 2 * kernel, rel=1e-6)


def test_mmd_of_two_pairs_by_hand() -> None:
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [3.0]])
    between = np.array([[0, 1, 1, 9], [1, 0, 0, 4], [1, 0, 0, 4], [9, 4, 4, 0]])
    median = 1.0  # of 0, 1, 1, 4, 4, 9: the lower one of the two in the middle
    kernel = np.mean([np.exp(-between / (f * median)) for f in (0.25, 0.5, 1, 2, 4)], axis=0)
    expected = kernel[:2, :2].mean() + kernel[2:, 2:].mean() - 2 * kernel[:2, 2:].mean()
    assert squared_mmd(x, y).item() == pytest.approx(expected, rel=1e-5)


def test_mmd_of_equal_samples_is_zero_and_of_others_is_not() -> None:
    x = torch.randn(30, 4)
    assert squared_mmd(x, x).item() == pytest.approx(0, abs=1e-6)
    assert squared_mmd(x, x.flip(0)).item() == pytest.approx(0, abs=1e-6)
    assert squared_mmd(x, x + 1).item() > 0.1
    assert squared_mmd(torch.ones(3, 2), torch.ones(4, 2)).item() == pytest.approx(0, abs=1e-6)


def test_mmd_does_not_care_about_units() -> None:
    x, y = torch.randn(30, 4), torch.randn(20, 4) + 0.5
    assert squared_mmd(100 * x, 100 * y).item() == pytest.approx(squared_mmd(x, y).item(), 1e-4)


# Adversaries


def test_reversed_gradients() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    passed: Any = Reversal.apply(x, 0.25)
    assert torch.equal(passed, x)
    (passed * torch.tensor([4.0, 8.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-1.0, -2.0]


def test_reversal_grows() -> None:
    assert reversal_at(0) == 0
    assert reversal_at(0.1) == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert reversal_at(1) == pytest.approx(1, abs=1e-4)


def test_the_trunk_gets_the_opposite_of_what_the_classifier_wants() -> None:
    source, target = torch.randn(16, 3), torch.randn(16, 3, requires_grad=True)
    gradients = []
    for progress in (0.0, 1.0):
        term = DANNTerm(DANN(), source, seed=0)
        term.begin(at(progress))
        torch.manual_seed(1)
        (gradient,) = torch.autograd.grad(term.distance(target), target)
        gradients.append(gradient)
    assert gradients[0].abs().max() == 0 < gradients[1].abs().max()
    # A step down this gradient makes the classifier's loss larger.
    torch.manual_seed(1)
    before = term.distance(target)
    torch.manual_seed(1)
    assert term.distance(target - 0.1 * gradients[1] / gradients[1].norm()) > before


def test_the_classifier_learns_where_the_trunk_is_left_alone() -> None:
    source, target = torch.randn(200, 3), torch.randn(64, 3) + 3
    term = DANNTerm(DANN(learning_rate=1e-2), source, seed=0)
    term.begin(at(0.0))
    for _ in range(60):
        term.distance(target).backward()
        term.stepped()
    term.begin(at(0.0))
    term.distance(target)
    assert term.end()["accuracy"] > 0.95


def test_weights_of_the_critic_stay_within_bounds_while_it_learns() -> None:
    source, target = torch.randn(200, 3), torch.randn(64, 3) + 3
    term = WAPPOTerm(WAPPO(critic_steps=20), source, seed=0)
    assert _largest(term._critic) <= 0.01
    before = term._gap(target).item()
    after = term.distance(target).item()
    assert after > before and after > 0
    assert _largest(term._critic) == pytest.approx(0.01)


def test_the_trunk_moves_to_where_the_critic_sees_the_source() -> None:
    source, target = torch.randn(200, 3), (torch.randn(64, 3) + 3).requires_grad_()
    distance = WAPPOTerm(WAPPO(critic_steps=30), source, seed=0).distance(target)
    (gradient,) = torch.autograd.grad(distance, target)
    assert (gradient.mean(0) > 0).all()  # down the gradient is towards 0


def _largest(adversary: Adversary) -> float:
    return max(p.abs().max().item() for p in adversary.network.parameters())


def test_building_an_adversary_leaves_random_streams_alone_and_is_reproducible() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, other = (WAPPOTerm(WAPPO(), torch.zeros(2, 3), seed=5) for _ in range(2))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(v, other.state()[k]) for k, v in one.state().items())


@pytest.mark.parametrize("method", [DANN(), WAPPO()], ids=named)
def test_an_adversary_goes_on_where_it_was(method: Align) -> None:
    source, target = torch.randn(50, 3), torch.randn(16, 3)

    def update(term: AlignTerm) -> Tensor:
        torch.manual_seed(0)
        term.begin(at(0.5))
        for _ in range(3):
            term.distance(target).backward()
            term.stepped()
        return term.distance(target).detach()

    whole, again = term_of(method, source), term_of(method, source)
    update(whole)
    again.restore({name: value.clone() for name, value in whole.state().items()})
    assert any("optimizer" in name for name in whole.state())
    assert torch.equal(update(whole), update(again))


# What they are for


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_a_trunk_with_permuted_sensors_comes_to_look_like_the_source(method: Align) -> None:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
    states = torch.randn(3000, 4) * torch.tensor([2.0, 1.0, 0.5, 0.2]) + torch.tensor([1, 0, 0, 0])
    source = trunk(states).detach()
    term = term_of(method, source)
    optimizer = torch.optim.Adam(trunk.parameters(), 1e-3)
    permuted = states[:, [2, 3, 0, 1]]
    before = squared_mmd(source[:300], trunk(permuted[300:600])).item()
    term.begin(at(0.5))
    for _ in range(300):
        loss = term.distance(trunk(permuted[torch.randint(3000, (128,))]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        term.stepped()
    after = squared_mmd(source[:300], trunk(permuted[300:600])).item()
    assert after < 0.7 * before


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_features_come_closer_under_other_units_than_without_it(method: Align) -> None:
    assert _distance(Recipe(align=method)) < 0.8 * _distance(Recipe())


DISTANCES: dict[Recipe, float] = {}


def _distance(recipe: Recipe) -> float:
    """MMD of what the heads of source and learner read, after a short training."""
    if recipe not in DISTANCES:
        agent = rlt.load("cartpole")
        states = source_states(agent, 1000, seed=1).observations
        normalize = observation_normalizer(agent.observation_space, agent.normalization)
        source = Teacher(agent.build().policy, normalize).latent(states)
        model = rlt.adapt(agent, SCALED, recipe, seed=0, device="cpu", n_epochs=10).learn(4096)
        seen = torch.as_tensor(model.rollout_buffer.observations).reshape(-1, 4)
        with torch.no_grad():
            DISTANCES[recipe] = squared_mmd(source, latent_of(model.policy, seen)).item()
    return DISTANCES[recipe]


# Where they work, and where not


def test_actions_and_inputs_may_differ_as_only_the_trunk_is_drawn() -> None:
    recipe = Recipe(reset=["actor.head", "actor.std"], align=CORAL(states=100))
    model = rlt.adapt("cartpole", "rlt/CartPoleContinuous-v0", recipe, seed=0, **SMALL)
    model.learn(128)
    assert model.logger.name_to_value["transfer/coral/loss"] > 0


def test_sources_that_normalize_observations_are_asked_through_their_statistics() -> None:
    model = rlt.adapt("acrobot", "rlt/AcrobotLong-v0", Recipe(align=DANN(states=100)), **SMALL)
    model.learn(128)
    assert 0 <= model.logger.name_to_value["transfer/dann/accuracy"] <= 1


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_a_minibatch_of_one_row_is_left_out(method: Align) -> None:
    batch: Any = SimpleNamespace(latent=torch.zeros(1, 3))
    assert term_of(method, torch.randn(9, 3)).loss(batch) is None


def test_a_trunk_that_never_trains_is_refused_and_one_that_thaws_is_not() -> None:
    with pytest.raises(RecipeError, match="MMD draws the actor's trunk, and all of it is frozen"):
        rlt.adapt("cartpole", SCALED, Recipe(freeze=["trunk"], align=MMD()))
    thawing = Recipe(freeze=["trunk"], thaw="top_down", align=DANN(states=100))
    rlt.adapt("cartpole", SCALED, thawing, seed=0, **SMALL).learn(384)


def test_a_policy_without_a_trunk_is_refused() -> None:
    flat = rlt.pretrain(
        "CartPole-v1", 128, episodes=2, policy_kwargs={"net_arch": []}, n_steps=64, n_envs=2
    )
    with pytest.raises(RecipeError, match="this policy has none"):
        rlt.adapt(flat, SCALED, Recipe(align=CORAL()))


def test_a_source_whose_task_is_not_known_is_refused() -> None:
    stray = rlt.load("cartpole").with_card(task="")
    with pytest.raises(RecipeError, match="cannot be made here"):
        rlt.adapt(stray, SCALED, Recipe(align=CORAL()))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (CORAL, {"states": 1}),
        (CORAL, {"fade": "performance"}),
        (MMD, {"samples": 1}),
        (DANN, {"hidden": 0}),
        (DANN, {"learning_rate": 0}),
        (WAPPO, {"critic_steps": 0}),
        (WAPPO, {"clip": 0}),
        (WAPPO, {"strength": -1}),
    ],
)
def test_values_out_of_range_are_refused(kind: type[Align], given: Any) -> None:
    with pytest.raises(RecipeError, match="expected"):
        kind(**given)
