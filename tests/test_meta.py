"""Meta-learning: Reptile's start, RL^2's memory, and context that is inferred."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from rltransfer.callbacks import Evaluate
from rltransfer.errors import BadArgument, SpaceMismatch
from rltransfer.evaluate import evaluate
from rltransfer.meta import AdaptivePolicy, Known, adaptation, identify, meta_step, reptile, rl2
from rltransfer.meta.estimator import ContextEstimator, fit
from rltransfer.meta.history import History, encoded, width
from rltransfer.meta.rl2 import LSTM_SIZE
from rltransfer.pretrain import fresh, pretrain
from rltransfer.randomizing import randomized
from rltransfer.transfer import adapt
from rltransfer.trials import trials

FAMILY = ["CartPole-v1", "rlt/CartPoleLong-v0", "rlt/CartPoleHeavyPole-v0"]
HELD_OUT = "rlt/CartPoleFar-v0"


def _weights(model):
    return {name: one.clone() for name, one in model.policy.state_dict().items()}


@pytest.mark.parametrize("epsilon", [0.0, 0.25, 1.0])
def test_a_meta_step_goes_a_part_of_the_way_of_the_inner_training(epsilon):
    def model():
        return fresh("CartPole-v1", n_envs=4, n_steps=64, seed=3)

    inner = model()
    before = _weights(inner)
    inner.learn(512)
    outer = model()  # which seeds the random streams anew
    meta_step(outer, 512, epsilon)
    reached = _weights(inner)
    assert any(not torch.equal(before[name], reached[name]) for name in before)
    for name, found in _weights(outer).items():
        expected = before[name] + epsilon * (reached[name] - before[name])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
        if epsilon in (0.0, 1.0):
            assert torch.equal(found, reached[name] if epsilon else before[name])
    for one in (inner, outer):
        one.get_env().close()


def test_each_inner_training_begins_without_moments():
    model = fresh("CartPole-v1", n_envs=4, n_steps=64, seed=0)
    for _ in range(2):
        meta_step(model, 256, 0.5)
        steps = {int(state["step"]) for state in model.policy.optimizer.state.values()}
        assert steps == {model.n_epochs * 256 // model.batch_size}
    model.get_env().close()


def test_equal_seeds_give_equal_starts_and_others_do_not():
    def start(seed):
        return reptile(FAMILY[:2], 2_000, updates=1, n_envs=4, n_steps=64, seed=seed).weights

    one, same, other = start(0), start(0), start(1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_all_tasks_share_one_set_of_statistics():
    agent = reptile(
        FAMILY, 3_072, updates=1, n_envs=4, n_steps=64, normalize_obs=True, normalize_reward=True
    )
    assert agent.card.steps == 3_072
    # Each of 12 iterations resets four environments; the first statistic stands for 1e-4 samples.
    assert agent.normalization.obs_stats.count == pytest.approx(3_072 + 12 * 4)
    assert agent.normalization.return_stats.count == pytest.approx(3_072)


def _area(source, recipe, seed):
    model = adapt(source, HELD_OUT, recipe, seed=seed, n_envs=8, n_steps=128)
    curve = Evaluate(HELD_OUT, points=4, episodes=10)
    model.learn(8_192, callback=curve)
    model.get_env().close()
    return curve.curve.deterministic.mean()


def test_reptiles_start_learns_a_new_variant_faster_than_a_fresh_one():
    start = reptile(FAMILY, 40_000, seed=0, learning_rate=1e-3)
    assert _area(start, "full", seed=1) > _area(start, "scratch", seed=1) + 50


def test_what_reptile_cannot_do_is_refused():
    with pytest.raises(BadArgument, match="updates"):
        reptile(FAMILY, 1_000, updates=0)
    with pytest.raises(BadArgument, match="epsilon"):
        reptile(FAMILY, 1_000, epsilon=0)
    with pytest.raises(BadArgument, match="list"):
        reptile("CartPole-v1", 1_000)
    with pytest.raises(BadArgument, match="TensorBoard"):
        reptile(FAMILY, 1_000, tensorboard_log="here")
    with pytest.raises(SpaceMismatch, match="equal spaces"):
        reptile(["CartPole-v1", "Pendulum-v1"], 1_000)


class Arms(gym.Env):
    """Two arms, of which one pays."""

    def __init__(self, good=0):
        self.observation_space, self.action_space = spaces.Discrete(1), spaces.Discrete(2)
        self.good = good

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, float(action == self.good), False, False, {}


def test_memory_of_the_first_episode_serves_the_second():
    ids = [f"my/Arms{good}-v0" for good in (0, 1)]
    for good, id in enumerate(ids):
        gym.register(id, Arms, kwargs={"good": good}, max_episode_steps=2)
    task = trials(ids, "my/ArmTrials-v0", episodes=2)
    small = {"lstm_hidden_size": 16, "net_arch": []}
    quick = {"n_envs": 16, "n_steps": 20, "batch_size": 320, "n_epochs": 6, "learning_rate": 5e-3}
    agent = rl2(task, 6_000, episodes=2, policy_kwargs=small, **quick)
    found = adaptation(agent, task, trials=100)
    assert found.returns.shape == (100, 2) and set(found.tasks) == set(ids)
    # Whoever does not know which arm pays gets 1.5 of 2 by switching after a blank, and then 2.
    assert found.means[1] > 1.9 and found.gain.mean() > 0.3
    np.testing.assert_array_equal(
        found.returns.sum(axis=1), evaluate(agent, task, episodes=100).returns
    )
    assert "2: 2 (95 %" in str(found)


def test_a_policy_without_arguments_has_the_usual_memory():
    task = trials("CartPole-v1", "my/PoleTrials-v0")
    small = {"n_envs": 2, "n_steps": 4, "batch_size": 8, "n_epochs": 1}
    agent = rl2(task, 8, episodes=2, policy_kwargs=None, algorithm="recurrent_ppo", **small)
    assert agent.policy_kwargs["lstm_hidden_size"] == LSTM_SIZE


def test_what_has_no_trials_is_refused():
    with pytest.raises(BadArgument, match="no trials"):
        rl2("CartPole-v1", 1_000)
    task = trials("CartPole-v1", "my/PoleTrials-v0")
    with pytest.raises(BadArgument, match="algorithm is 'ppo'"):
        rl2(task, 1_000, algorithm="ppo")
    with pytest.raises(BadArgument, match="no trials"):
        adaptation("cartpole", "CartPole-v1")


def test_a_history_keeps_transitions_and_forgets_other_episodes():
    history = History.empty(2, length=2, observed=1, acted=2)
    no, first = np.array([False, False]), np.array([True, True])
    history = history.observe(np.array([[1.0], [5.0]]), first)
    assert not history.window.any() and history.ages.tolist() == [0, 0]
    history = history.act(encoded(spaces.Discrete(2), np.array([0, 1])))
    history = history.observe(np.array([[3.0], [4.0]]), no)
    # s, a one-hot, s' - s, and that there is one.
    assert history.window[0].tolist() == [[0] * 5, [1, 1, 0, 2, 1]]
    assert history.window[1].tolist() == [[0] * 5, [5, 0, 1, -1, 1]]
    history = history.observe(np.array([[3.0], [0.0]]), np.array([False, True]))
    assert history.ages.tolist() == [2, 0]


def test_an_estimator_recovers_what_the_transitions_say():
    rng = np.random.default_rng(0)
    contexts = rng.uniform(-1, 1, (2_000, 1)).astype(np.float32)
    windows = rng.normal(size=(2_000, 3, 4)).astype(np.float32)
    windows[:, :, -1] = 1
    windows[:, :, 2] = contexts + 0.1 * windows[:, :, 2]
    held_out = np.arange(2_000) < 400
    torch.manual_seed(0)
    estimator = ContextEstimator(["mass"], 3, 4)
    fit(estimator, windows, contexts, held_out, epochs=10)
    assert estimator.r2["mass"] > 0.95
    windows[:, :, 2] = rng.normal(size=(2_000, 3))
    fit(estimator, windows, contexts, held_out, epochs=10)
    assert estimator.r2["mass"] < 0.1


@pytest.fixture(scope="module")
def contextual():
    """An agent that must know the force, which may push either way."""
    task = randomized("CartPole-v1", "my/Pushed-v0", {"force_mag": (-15, 15)}, context=True)
    return pretrain(task, 50_000, learning_rate=1e-3, episodes=2, seed=0)


def _tasks():
    ranges = {"force_mag": (-15, 15)}
    told = randomized("CartPole-v1", "my/Pushed-v0", ranges, context=True)
    return told, randomized("CartPole-v1", "my/Hidden-v0", ranges)


def test_inferred_context_does_better_than_any_wrong_one(contextual):
    told, hidden = _tasks()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    policy = identify(contextual, told, steps=12_000, epochs=20)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert policy.estimator.r2["force_mag"] > 0.5
    inferred, oracle, *wrong = (
        evaluate(actor, task, episodes=40).mean
        for actor, task in [
            (policy, hidden),
            (contextual, told),
            *((AdaptivePolicy(contextual, Known((one,)), 1), hidden) for one in (-0.6, 0.0, 0.6)),
        ]
    )
    assert inferred > max(wrong) + 50 and inferred > 0.7 * oracle, (inferred, oracle, wrong)


def test_a_known_context_acts_as_the_agent_that_is_told(contextual):
    policy = AdaptivePolicy(contextual, Known((0.5,)), 1)
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    told = np.concatenate([rows, np.full((6, 1), 0.5, np.float32)], axis=1)
    expected, _ = contextual.build().predict(told, deterministic=True)
    actions, state = policy.predict(rows, deterministic=True)
    np.testing.assert_array_equal(actions, expected)
    assert state.context.tolist() == [[0.5]] * 6
    one, state = policy.predict(rows[0], deterministic=True)
    assert one == expected[0]
    _, state = policy.predict(rows[1], state, deterministic=True)
    assert state.history.ages.tolist() == [1]


def test_normalized_and_continuous_agents_infer_as_well():
    task = randomized("Pendulum-v1", "my/Pendula-v0", {"g": (2, 20)}, context=True)
    hidden = randomized("Pendulum-v1", "my/HiddenPendula-v0", {"g": (2, 20)})
    agent = pretrain(task, 2_048, normalize_obs=True, episodes=2)
    policy = identify(agent, steps=4_000, history=4, epochs=10)
    assert policy.estimator.r2["g"] > 0.5
    assert width(3, 1) == 8 and evaluate(policy, hidden, episodes=2).lengths.tolist() == [200, 200]


def test_what_cannot_be_inferred_is_refused(contextual):
    _, hidden = _tasks()
    with pytest.raises(BadArgument, match="no context"):
        identify(contextual, hidden)
    with pytest.raises(BadArgument, match="no context"):
        identify(contextual, "CartPole-v1")
    with pytest.raises(BadArgument, match="history"):
        identify(contextual, _tasks()[0], history=0)
    for seed in (-1, "one", 1.5):
        with pytest.raises(BadArgument, match="seed"):
            identify(contextual, _tasks()[0], seed=seed)
    with pytest.raises(BadArgument, match="masks"):
        identify(replace(contextual, algorithm="maskable_ppo"), _tasks()[0])
    for steps, rounds in ((1, 3), (48, 3), (64, 4)):
        with pytest.raises(BadArgument, match=f"give {32 * rounds} or more"):
            identify(contextual, _tasks()[0], steps=steps, rounds=rounds)
    identify(contextual, _tasks()[0], steps=32, rounds=1)
    with pytest.raises(SpaceMismatch, match="context of 5"):
        AdaptivePolicy(contextual, Known((0.0,) * 5), 5)
    with pytest.raises(SpaceMismatch):
        evaluate(AdaptivePolicy(contextual, Known((0.0,)), 1), "Pendulum-v1")
