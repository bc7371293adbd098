"""Closed-form acting draws and evaluates what Stable-Baselines3's policies do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_form_cases import (
    ACTION_SPACES,
    COMPILED,
    made,
)
from stable_baselines3.common.distributions import CategoricalDistribution

from rltransfer.engine.closed_form import Learner
from rltransfer.engine.closed_form.heads import Categorical


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("actions", ACTION_SPACES)
@pytest.mark.parametrize("rows", [1, 8, 40])
def test_acting_draws_what_the_policy_draws(rows: int, actions: str, compiled: bool) -> None:
    model = made(actions)
    learner = Learner(model.policy, model.policy.optimizer, compiled=compiled)
    features = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    torch.manual_seed(1)
    ours = [learner.act(features) for _ in range(50)]
    after = torch.rand(1)
    torch.manual_seed(1)
    with torch.no_grad():
        stock = [model.policy(torch.from_numpy(features))[0].numpy() for _ in range(50)]
    assert torch.equal(after, torch.rand(1))
    for a, b in zip(ours, stock, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-5)
    assert actions == "one choice" or any((a != ours[0]).any() for a in ours)


@pytest.mark.parametrize("choices", [2, 17])
def test_equal_logits_give_equal_choices(choices: int) -> None:
    logits = 3 * torch.randn(100_000, choices, generator=torch.Generator().manual_seed(0))
    head = Categorical([choices], (), np.dtype(np.float32), lambda *_: None)
    torch.manual_seed(1)
    ours = head.sample(np.ascontiguousarray(logits.numpy().T), np.empty(0))
    torch.manual_seed(1)
    stock = CategoricalDistribution(choices).proba_distribution(logits).sample().numpy()
    assert np.count_nonzero(ours != stock) <= 1  # where two scores tie but for rounding
    assert len(np.unique(ours)) == choices


def test_one_batch_of_actions_survives_the_next() -> None:
    model = made("box")
    learner = Learner(model.policy, model.policy.optimizer, compiled=False)
    first = learner.act(np.zeros((4, 5), np.float32))
    kept = first.copy()
    learner.act(np.ones((4, 5), np.float32))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("actions", ACTION_SPACES)
@pytest.mark.parametrize("rows", [1, 3, 1300])
def test_values_and_log_probabilities_equal_the_policys(
    rows: int, actions: str, compiled: bool
) -> None:
    model = made(actions)
    learner = Learner(model.policy, model.policy.optimizer, compiled=compiled)
    features = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    given = torch.from_numpy(features)
    stored = learner.act(features).reshape(rows, -1).astype(np.float32)
    evaluated = torch.from_numpy(stored.ravel() if stored.shape[1] == 1 else stored)
    with torch.no_grad():
        values, log_prob, _ = model.policy.evaluate_actions(given, evaluated)
    np.testing.assert_allclose(learner.predict_values(features), values.ravel(), atol=1e-5)
    np.testing.assert_allclose(learner.log_prob(features, stored), log_prob, atol=1e-5)


def test_reading_takes_the_weights_of_this_moment() -> None:
    model = made("discrete")
    learner = Learner(model.policy, model.policy.optimizer, compiled=False)
    features = np.ones((2, 5), np.float32)
    before = learner.predict_values(features)
    with torch.no_grad():
        model.policy.value_net.bias.add_(1.0)
    learner.read()
    np.testing.assert_allclose(learner.predict_values(features), before + 1, rtol=1e-6)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("actions", ACTION_SPACES)
def test_acting_on_what_is_not_a_number_is_refused_as_in_sb3(actions: str, compiled: bool) -> None:
    model = made(actions)
    learner = Learner(model.policy, model.policy.optimizer, compiled=compiled)
    features = np.full((2, 5), np.nan, np.float32)
    with pytest.raises(ValueError, match="not numbers in 2 of 2 rows"):
        learner.act(features)
    with pytest.raises(ValueError, match="Expected parameter"):
        model.policy(torch.from_numpy(features))
