"""Measures of similarity against values worked out by hand, and at their extremes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from transfer_cases import KINDS, Toy, source, toy, train

import rltransfer as rlt
from rltransfer.errors import BadArgument
from rltransfer.similarity import MEASURES, Similarity, similarity
from rltransfer.similarity.cka import linear_cka
from rltransfer.similarity.closeness import compare_tasks
from rltransfer.similarity.dynamics import FLOOR, Transitions, dynamics_fit
from rltransfer.similarity.expansion import quadratic, standardized
from rltransfer.similarity.flat import WIDEST, alike, flat
from rltransfer.similarity.gradients import cosine, fisher, fisher_cosine, policy_gradient
from rltransfer.similarity.logme import logme
from rltransfer.similarity.mmd import mmd
from rltransfer.similarity.two_sample import area, classifier_auc, logistic
from rltransfer.similarity.walking import COPIES, random_walk

RNG = np.random.default_rng(11)
NOISE = RNG.normal(size=(8, 60, 2))


@pytest.fixture(autouse=True)
def _home() -> Iterator[None]:
    """The tasks of the sources, which the fixtures of other tests may have taken back."""
    for kind in ("discrete", "maskable", "recurrent", "box", "normalized", "dict"):
        KINDS[kind].task()
    before = set(Toy.open)
    yield
    assert Toy.open == before, "environments were left open"


# -- parts ----------------------------------------------------------------------------------------


def test_quadratic_features_by_hand() -> None:
    assert quadratic(np.array([[2.0, 3.0]])).tolist() == [[2, 3, 4, 6, 9]]
    assert quadratic(np.ones((1, 20))).shape == (1, 40), "of many inputs the squares alone"


def test_samples_are_standardized_together() -> None:
    first, second = standardized(np.array([[0.0, 7.0]]), np.array([[4.0, 7.0]]))
    assert first.tolist() == [[-1, 0]] and second.tolist() == [[1, 0]]


def test_observations_of_any_space_become_rows() -> None:
    assert flat(spaces.Discrete(3), np.array([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert flat(spaces.Discrete(3, start=1), np.array([3, 1])).tolist() == [[0, 0, 1], [1, 0, 0]]
    pairs = spaces.MultiDiscrete([2, 3], start=[5, -1])
    assert flat(pairs, np.array([[6, 1]])).tolist() == [[0, 1, 0, 0, 1]]
    pairs = spaces.MultiDiscrete([2, 3])
    assert flat(pairs, np.array([[1, 2]])).tolist() == [[0, 1, 0, 0, 1]]
    both = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(2)})
    rows = flat(both, {"a": np.array([[0.5, -0.5]]), "b": np.array([1])})
    assert rows.tolist() == [[0.5, -0.5, 0, 1]]
    image = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    assert flat(image, np.zeros((2, 36, 36, 1), np.uint8)).shape == (2, WIDEST)


def test_projections_keep_distances_and_are_the_same_each_time() -> None:
    wide = spaces.Box(-1, 1, (600,))
    rows = np.random.default_rng(0).normal(size=(2, 600))
    projected = flat(wide, rows)
    assert np.array_equal(projected, flat(wide, rows))
    apart = [np.linalg.norm(part[0] - part[1]) for part in (rows, projected)]
    assert apart[1] == pytest.approx(apart[0], rel=0.3)


def test_bounds_make_no_other_space_but_sizes_do() -> None:
    assert alike(spaces.Box(-1, 1, (4,)), spaces.Box(-5, 5, (4,)))
    assert not alike(spaces.Box(-1, 1, (4,)), spaces.Box(-1, 1, (6,)))
    assert not alike(spaces.Discrete(4), spaces.Box(-1, 1, (4,)))
    assert not alike(spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([3, 2]))
    box = spaces.Box(-1, 1, (4,))
    assert not alike(spaces.Dict({"a": box}), spaces.Dict({"b": box}))


# -- observations ---------------------------------------------------------------------------------


def test_area_by_hand() -> None:
    # Of the pairs (0, 2), (0, 1), (1, 2), (1, 1) three are in order and one is tied.
    assert area(np.array([0.0, 1.0]), np.array([2.0, 1.0])) == pytest.approx(3.5 / 4)
    assert area(np.zeros(3), np.zeros(2)) == 0.5
    assert area(np.ones(3), np.zeros(2)) == 0


def test_a_logistic_regression_by_its_own_equation() -> None:
    """At the optimum the residuals times the inputs are the penalty's gradient."""
    inputs = RNG.normal(size=(50, 2))
    labels = (inputs[:, 0] + RNG.normal(size=50) > 0).astype(float)
    weights = logistic(inputs, labels)
    chance = 1 / (1 + np.exp(-(weights[0] + inputs @ weights[1:])))
    assert np.allclose(inputs.T @ (labels - chance), weights[1:], atol=1e-6)
    assert chance.mean() == pytest.approx(labels.mean())


def test_a_classifier_cannot_tell_a_sample_from_itself_and_can_from_a_shifted_one() -> None:
    assert classifier_auc(NOISE, NOISE) == 0.5
    assert classifier_auc(NOISE, NOISE + 10) == 1
    other = np.random.default_rng(5).normal(size=NOISE.shape)
    assert classifier_auc(NOISE, other) == pytest.approx(0.5, abs=0.08)
    assert classifier_auc(NOISE, 3 * other) > 0.8, "spreads differ, means do not"


def test_mmd_by_hand() -> None:
    # Standardized to -1 and 1: the only distance is the median, so k(x, y) = exp(-1).
    assert mmd(np.array([[0.0]]), np.array([[8.0]])) == pytest.approx(2 - 2 * math.exp(-1))


def test_mmd_at_its_extremes() -> None:
    rows = NOISE.reshape(-1, 2)
    assert mmd(rows, rows) == 0
    assert mmd(rows, rows + 0.5) < mmd(rows, rows + 5)
    assert mmd(np.zeros((3, 2)), np.zeros((3, 2))) == 0, "nothing varies"


# -- dynamics -------------------------------------------------------------------------------------


def linear(push: float, *, reward: float = 1.0, copies: int = 8, noise: float = 0.0) -> Transitions:
    """An action moves the state by push times it, for a reward of reward times it."""
    rng = np.random.default_rng(2)
    states, actions = rng.normal(size=(2, copies, 40, 1))
    following = states + push * actions + noise * rng.normal(size=states.shape)
    return Transitions(states, actions, reward * actions[..., 0], following)


def test_equal_dynamics_have_no_gap() -> None:
    found = dynamics_fit(linear(1.0), linear(1.0))
    assert found.gap == 1 and found.retained == 1 and found.control == pytest.approx(1)


def test_the_dynamics_gap_by_hand() -> None:
    """Actions that push the other way: the error is 2a, four times the variance of each."""
    found = dynamics_fit(linear(1.0, copies=200), linear(-1.0, reward=-1.0, copies=200))
    assert found.gap == pytest.approx(math.sqrt((4 + FLOOR) / FLOOR), rel=0.02)
    assert found.retained == 0


def test_what_is_retained_by_hand() -> None:
    """Pushing 1.5 times as far: squared errors a^2 / 4 of the pooled variance (1 + 2.25) / 2."""
    found = dynamics_fit(linear(1.0), linear(1.5))
    assert found.retained == pytest.approx((1 + (1 - 0.25 / 1.625)) / 2, abs=0.01)


def test_other_rewards_are_other_dynamics() -> None:
    assert dynamics_fit(linear(1.0), linear(1.0, reward=-1.0)).retained == pytest.approx(0.5)


def test_a_model_that_is_worse_than_the_mean_retains_nothing() -> None:
    """A reward that is half noise on the source, and nothing at all on the target."""
    rng = np.random.default_rng(3)
    states, actions, noise = rng.normal(size=(3, 8, 200, 1))
    change = rng.normal(size=states.shape)
    home = Transitions(states, actions, (states + 1.2 * noise)[..., 0], states + change)
    wide = 4 * states
    away = Transitions(wide, actions, np.zeros(states.shape[:2]), wide + change)
    found = dynamics_fit(home, away)
    assert found.gap > 2 and found.retained == 0


def test_what_cannot_be_learnt_does_not_count() -> None:
    pure_noise = linear(0.0, reward=0.0, noise=1.0)
    found = dynamics_fit(pure_noise, pure_noise)
    assert math.isnan(found.gap) and math.isnan(found.retained) and math.isnan(found.control)


def test_control_by_hand() -> None:
    """It has the same sign whatever the strength, and that of each outcome counts alike."""
    assert dynamics_fit(linear(1.0), linear(3.0)).control > 0.8
    assert dynamics_fit(linear(1.0), linear(-1.0, reward=-1.0)).control == pytest.approx(-1)
    assert dynamics_fit(linear(1.0), linear(1.0, reward=-1.0)).control == pytest.approx(0, abs=0.01)


# -- networks -------------------------------------------------------------------------------------


def test_cka_by_hand() -> None:
    # One column of y is x, the other at right angles to it.
    x = np.array([[1.0], [-1.0], [0.0], [0.0]])
    y = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    # |y'x|^2 = 4, |x'x| = 2, |y'y| = sqrt(4 + 4).
    assert linear_cka(x, y) == pytest.approx(4 / (2 * math.sqrt(8)))


def test_cka_does_not_see_rotations_and_scale() -> None:
    x = RNG.normal(size=(30, 3))
    rotation = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    assert linear_cka(x, 5 * x @ rotation + 1) == pytest.approx(1)
    assert linear_cka(x, RNG.normal(size=(30, 3))) < 0.3
    assert math.isnan(linear_cka(x, np.ones((30, 2))))


def test_logme_is_the_largest_evidence_on_a_grid() -> None:
    features = RNG.normal(size=(12, 3))
    targets = features @ [1.0, -1.0, 0.5] + 0.3 * RNG.normal(size=12)
    centered = features - features.mean(axis=0)
    y = (targets - targets.mean()) / targets.std()

    def density(alpha: float, beta: float) -> float:
        spread = np.eye(12) / beta + centered @ centered.T / alpha
        _, log_volume = np.linalg.slogdet(2 * math.pi * spread)
        return -0.5 * (log_volume + y @ np.linalg.solve(spread, y)) / 12

    grid = np.geomspace(0.05, 500, 120)
    best = max(density(a, b) for a, b in itertools.product(grid, grid))
    assert logme(features, targets) == pytest.approx(best, abs=1e-3)
    assert logme(features, targets) >= best - 1e-6


def test_logme_prefers_features_that_explain() -> None:
    features = RNG.normal(size=(200, 4))
    explained = features[:, 0] + 0.1 * RNG.normal(size=200)
    useless = -0.5 * math.log(2 * math.pi) - 0.5
    assert logme(features, RNG.normal(size=200)) == pytest.approx(useless, abs=0.03)
    assert logme(features, explained) > 0 > useless
    assert logme(features, 100 * explained + 7) == pytest.approx(logme(features, explained))
    assert math.isnan(logme(features, np.ones(200)))
    assert logme(np.full((200, 4), 0.5), explained) == pytest.approx(useless)


def test_cosine_by_hand() -> None:
    assert cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(24 / 25)
    assert math.isnan(cosine(np.zeros(2), np.ones(2)))


@cache
def two_logits() -> ActorCriticPolicy:
    """A policy whose logits are its bias: 0 and 0."""
    policy = ActorCriticPolicy(
        spaces.Box(-1, 1, (1,)), spaces.Discrete(2), lambda _: 1e-3, net_arch=[]
    )
    with torch.no_grad():
        policy.action_net.weight.zero_()
        policy.action_net.bias.zero_()
    return policy


def of_bias(policy: Any, vector: np.ndarray) -> list[float]:
    names = [name for name, one in policy.named_parameters() for _ in range(one.numel())]
    return [v for name, v in zip(names, vector, strict=True) if name == "action_net.bias"]


def test_the_policy_gradient_by_hand() -> None:
    """Each action has probability 1/2, so d log pi(a) = +-1/2; advantages become -1 and 1."""
    policy, seen = two_logits(), torch.zeros(2, 1)
    given = torch.tensor([3.0, 5.0])
    found = policy_gradient(policy, seen, torch.tensor([0, 1]), given)
    scale = math.sqrt(2)  # the deviation of two numbers, of which torch divides by one
    assert of_bias(policy, found) == pytest.approx([0.5 / scale, -0.5 / scale], abs=1e-6)
    opposite = policy_gradient(policy, seen, torch.tensor([1, 0]), given)
    assert cosine(found, opposite) == pytest.approx(-1)


def test_fisher_information_by_hand() -> None:
    policy = two_logits()
    found = fisher(policy, torch.full((5, 1), 2.0), torch.tensor([0, 1, 0, 1, 1]))
    assert of_bias(policy, found) == pytest.approx([0.25, 0.25])
    assert found.max() == pytest.approx(1.0), "weights of an input of 2 have four times as much"


def test_fisher_cosine_by_hand() -> None:
    one, other = np.array([1.0, 3.0, 0.0]), np.array([3.0, 1.0, 0.0])
    # (1/4, 3/4) and (3/4, 1/4).
    assert fisher_cosine(one, other) == pytest.approx(6 / 10)
    assert fisher_cosine(one, one) == pytest.approx(1)
    assert fisher_cosine(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0


# -- playing --------------------------------------------------------------------------------------


def test_a_random_walk_gives_what_happened() -> None:
    walk, seen, acted = random_walk("CartPole-v1", 400, 3)
    assert walk.observations.shape == walk.following.shape == (COPIES, 50, 4)
    assert walk.actions.shape == (COPIES, 50, 2) and seen.shape == (4,)
    assert isinstance(acted, spaces.Discrete) and (walk.rewards == 1).all()
    # Euler's step: the position moves by the velocity, also in the step that ends an episode.
    moved = walk.following[..., 0] - walk.observations[..., 0]
    assert np.allclose(moved, 0.02 * walk.observations[..., 1], atol=1e-6)
    begun = ~np.isclose(walk.following[:, :-1], walk.observations[:, 1:]).all(axis=-1)
    assert begun.any(), "episodes ended"
    assert (np.abs(walk.observations[:, 1:][begun]) <= 0.05).all()


def test_tasks_are_given_the_same_actions() -> None:
    one, _, _ = random_walk("CartPole-v1", 400, 3)
    other, _, _ = random_walk("rlt/CartPoleLong-v0", 400, 3)
    assert np.array_equal(one.actions, other.actions)
    assert np.array_equal(one.observations[:, 0], other.observations[:, 0])
    assert not np.array_equal(one.following, other.following)


# -- all of it ------------------------------------------------------------------------------------


@cache
def trained() -> rlt.Agent:
    return train(toy(), 2_048, policy_kwargs={"net_arch": [16]}, n_steps=64, batch_size=32)


@cache
def measured(**kwargs: Any) -> Similarity:
    return similarity(trained(), toy(**kwargs), steps=512, device="cpu")


def test_a_task_is_as_similar_to_itself_as_can_be() -> None:
    found = measured()
    for name, one in MEASURES.items():
        if one.alike is not None:
            assert getattr(found, name) == pytest.approx(one.alike, abs=1e-5), name
    assert found.zero_shot > 0.5


def test_a_task_that_asks_the_opposite_is_not_similar() -> None:
    same, other = measured(), measured(flip=True)
    assert other.gradient_cosine < 0
    assert other.dynamics_gap > 1.2 and other.dynamics_fit < 1
    assert other.closeness < same.closeness and other.zero_shot < same.zero_shot


def test_all_measures_say_that_a_shifted_task_is_less_similar() -> None:
    agent = rlt.load("cartpole")
    near = similarity(agent, "CartPole-v1", steps=1_024, device="cpu")
    far = similarity(agent, "rlt/CartPolePermuted-v0", steps=1_024, device="cpu")
    for name, one in MEASURES.items():
        # The others say how good the source's features are, or are too noisy.
        if name not in ("critic_fit", "logme", "cka"):
            assert one.sign * getattr(near, name) > one.sign * getattr(far, name), name


@pytest.mark.parametrize("kind", ["box", "normalized", "dict"])
def test_all_kinds_of_ppo_are_measured(kind: str) -> None:
    found = similarity(source(kind), KINDS[kind].task(flip=True), steps=128, device="cpu")
    assert not [name for name in MEASURES if math.isnan(getattr(found, name))]


def test_a_critic_that_is_off_explains_nothing() -> None:
    model = trained().build()
    with torch.no_grad():
        for one in model.policy.mlp_extractor.value_net.parameters():
            one.zero_()
    dead = rlt.Agent.from_model(model, card=trained().card)
    found = similarity(dead, toy(), steps=128, device="cpu")
    assert found.logme == pytest.approx(-1.42, abs=0.005)


class Switches(gym.Env):
    """Observes what is switched on."""

    observation_space = spaces.Box(0, 1, (3,))

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.taken = 0
        return self.np_random.random(3, np.float32), {}

    def step(self, action: Any) -> Any:
        self.taken += 1
        seen = self.np_random.random(3, np.float32)
        return seen, float(np.sum(action)), self.taken >= 8, False, {}


@pytest.mark.parametrize(
    "actions",
    [spaces.MultiBinary(3), spaces.MultiDiscrete([2, 3]), spaces.Discrete(3)],
    ids=str,
)
def test_all_kinds_of_actions_are_measured(actions: spaces.Space) -> None:
    gym.register("my/Switches-v0", lambda: Switches(actions), max_episode_steps=16)
    agent = train("my/Switches-v0", 64, n_steps=16, batch_size=16)
    found = similarity(agent, "my/Switches-v0", steps=64, device="cpu")
    assert found.closeness == pytest.approx(1) and math.isfinite(found.gradient_cosine)


def test_actions_whose_numbers_begin_elsewhere_are_compared() -> None:
    gym.register("my/Late-v0", lambda: Switches(spaces.Discrete(3, start=1)), max_episode_steps=16)
    assert compare_tasks("my/Late-v0", "my/Late-v0", seed=0, steps=64).value == pytest.approx(1)


@pytest.mark.parametrize("kind", ["maskable", "recurrent"])
def test_other_algorithms_are_measured_as_far_as_they_can_be(kind: str) -> None:
    found = similarity(source(kind), KINDS[kind].task(), steps=128, device="cpu")
    assert found.closeness == 1 and math.isfinite(found.zero_shot)
    assert math.isnan(found.gradient_cosine) and math.isnan(found.cka)


def test_of_other_spaces_nothing_is_known() -> None:
    found = similarity(source("discrete"), toy("v6"), steps=128, device="cpu")
    assert all(math.isnan(getattr(found, name)) for name in MEASURES)
    acts = similarity(source("discrete"), toy("v4", "d3"), steps=128, device="cpu")
    assert math.isfinite(acts.observation_auc) and math.isnan(acts.dynamics_fit)
    assert math.isnan(acts.zero_shot) and math.isnan(acts.gradient_cosine)
    assert acts.closeness == pytest.approx(2 * (1 - acts.observation_auc))
    sde = similarity(source("gsde"), toy("v4", "d2"), steps=128, device="cpu")
    assert math.isfinite(sde.observation_auc) and math.isnan(sde.zero_shot)


def test_a_task_without_a_level_has_no_score_and_all_else() -> None:
    agent = replace(trained(), card=replace(trained().card, score=None))
    found = similarity(agent, toy(), steps=128, device="cpu")
    assert math.isnan(found.zero_shot) and math.isfinite(found.critic_fit)


def test_steps_are_counted() -> None:
    found = similarity(trained(), toy(), steps=512, device="cpu")
    probed = 2 * 5 * 8
    assert found.steps == 512 + probed + 512 + 512 and found.source_steps == 1_024


def test_the_same_seed_gives_the_same_and_leaves_random_streams_alone() -> None:
    torch.manual_seed(4)
    np.random.seed(4)
    expected = (torch.rand(1).item(), np.random.random())
    torch.manual_seed(4)
    np.random.seed(4)
    one = similarity(trained(), toy(flip=True), steps=128, device="cpu")
    assert (torch.rand(1).item(), np.random.random()) == expected
    assert one == similarity(trained(), toy(flip=True), steps=128, device="cpu")
    assert one != similarity(trained(), toy(flip=True), steps=128, device="cpu", seed=1)


def test_a_task_may_be_a_spec() -> None:
    spec = gym.spec(toy(flip=True))
    found = similarity(trained(), spec, steps=128, device="cpu")
    assert found == similarity(trained(), spec.id, steps=128, device="cpu")


@pytest.mark.parametrize("seed", [None, "a", True])
def test_seeds_are_whole_numbers(seed: Any) -> None:
    with pytest.raises(BadArgument, match="give a whole number"):
        similarity(trained(), toy(), steps=128, seed=seed)


def test_few_steps_are_refused() -> None:
    with pytest.raises(BadArgument, match="steps is 10"):
        similarity(trained(), toy(), steps=10)


def test_it_prints_as_a_table_of_all_measures() -> None:
    found = Similarity(source="one", target="other", zero_shot=0.25, steps=1_000, source_steps=7)
    text = str(found)
    assert all(name in text for name in MEASURES)
    assert "one -> other" in text and "0.250" in text and "1,000 steps on the target" in text
    assert {f.name for f in fields(Similarity)} - set(MEASURES) == {
        *("source", "target", "steps", "source_steps"),
    }


def test_comparing_tasks_notices_what_actions_do() -> None:
    same = compare_tasks("CartPole-v1", "CartPole-v1", seed=1, steps=512)
    swapped = compare_tasks("CartPole-v1", "rlt/CartPoleSwapped-v0", seed=1, steps=512)
    assert same.value == 1 and same.dynamics_gap == 1 and swapped.control < -0.9
    assert swapped.observation_auc < 0.65 and swapped.dynamics_gap > 10 and swapped.value < 0.85
