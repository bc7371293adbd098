"""Tasks whose parameters are drawn anew: for every episode, or for every trial of episodes."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import RecurrentPPO

from rltransfer import registry
from rltransfer.errors import BadArgument, RegistrationConflict, SpaceMismatch, UnknownName
from rltransfer.evaluate import evaluate
from rltransfer.pretrain import fresh
from rltransfer.randomizing import randomized
from rltransfer.ranges import Range
from rltransfer.trajectories import first_difference, play, trajectory
from rltransfer.trials import trials
from rltransfer.vec import make_vec

POLES = {"length": (0.25, 4.0, "log"), "force_mag": (5, 15)}


def _drawn(env: gym.Env, count: int) -> np.ndarray:
    first = env.reset(seed=3)[1]["parameters"]
    rest = [env.reset()[1]["parameters"] for _ in range(count - 1)]
    return np.array([[*one.values()] for one in [first, *rest]])


def test_draws_cover_their_ranges_and_follow_the_seed():
    env = registry.make(randomized("CartPole-v1", "my/Poles-v0", POLES))
    drawn = _drawn(env, 400)
    length, force = drawn.T
    assert 0.25 <= length.min() < 0.27 and 3.7 < length.max() <= 4.0
    assert 5 <= force.min() < 5.2 and 14.8 < force.max() <= 15
    # Half of a log-uniform draw lies below the geometric mean, half of a uniform one below the
    # arithmetic mean: within three deviations of 400 tosses.
    assert abs((length < 1.0).mean() - 0.5) < 0.075
    assert abs((force < 10.0).mean() - 0.5) < 0.075
    assert abs(np.corrcoef(np.log(length), force)[0, 1]) < 0.15
    np.testing.assert_array_equal(drawn, _drawn(env, 400))


def test_what_a_simulator_derives_from_a_parameter_follows_it():
    env = registry.make(randomized("CartPole-v1", "my/Poles-v0", POLES))
    env.reset(seed=0)
    first = env.unwrapped.polemass_length
    assert first == pytest.approx(0.1 * env.get_wrapper_attr("parameters")["length"])
    env.reset()
    assert env.unwrapped.polemass_length != first


def test_a_range_of_one_point_is_the_base_number_for_number():
    point = randomized("CartPole-v1", "my/Point-v0", {"length": (0.5, 0.5)})
    one, other = (trajectory(id, seed=5, steps=200) for id in (point, "CartPole-v1"))
    assert first_difference(one, other) is None


def test_fixed_parameters_are_the_variant_number_for_number():
    env = registry.make(randomized("CartPole-v1", "my/Poles-v0", POLES))
    fixed = {"length": 1.0, "force_mag": 6.0}
    _, info = env.reset(seed=0, options={"parameters": fixed})
    assert info["parameters"] == fixed
    one, *_ = env.step(1)
    variant = registry.make("rlt/CartPoleLong-v0")
    variant.reset(seed=0)
    np.testing.assert_array_equal(one, variant.step(1)[0])


def test_the_context_lies_behind_the_observation():
    env = registry.make(randomized("CartPole-v1", "my/Context-v0", POLES, context=True))
    fixed = {"length": 1.0, "force_mag": 15.0}
    first, _ = env.reset(seed=0, options={"parameters": fixed})
    np.testing.assert_allclose(first[4:], [0.0, 1.0])
    assert first in env.observation_space and first.dtype == np.float32
    np.testing.assert_array_equal(first[:4], registry.make("CartPole-v1").reset(seed=0)[0])
    np.testing.assert_allclose(env.step(0)[0][4:], [0.0, 1.0])


def test_environments_are_stepped_in_turn_and_survive_json():
    id = randomized("CartPole-v1", "my/Poles-v0", POLES, context=True)
    again = gym.spec(id).from_json(gym.spec(id).to_json())
    assert again == gym.spec(id)
    venv = make_vec(id, 8, seed=0)
    assert len(np.unique(venv.reset()[:, 4])) == 8
    venv.close()
    with pytest.raises(BadArgument, match="native"):
        make_vec(id, 8, vec="native")


@pytest.mark.slow
def test_environments_reach_worker_processes():
    id = randomized("CartPole-v1", "my/Poles-v0", POLES, context=True)
    seen = []
    for vec in ("sync", "subproc"):
        venv = make_vec(id, 2, seed=0, vec=vec)
        seen.append(venv.reset())
        venv.close()
    np.testing.assert_array_equal(*seen)


def test_other_families_and_wrapped_variants_can_be_randomized():
    pendulum = registry.make(randomized("Pendulum-v1", "my/P-v0", {"mass": (0.5, 2)}))
    pendulum.reset(seed=1)
    assert pendulum.unwrapped.m == pendulum.get_wrapper_attr("parameters")["mass"]
    offset = registry.make(randomized("rlt/CartPoleOffset-v0", "my/O-v0", {"gravity": (5, 20)}))
    plain = registry.make("rlt/CartPoleOffset-v0")
    np.testing.assert_array_equal(offset.reset(seed=1)[0], plain.reset(seed=1)[0])


def test_lunar_lander_takes_new_gravity():
    pytest.importorskip("Box2D")
    env = registry.make(randomized("LunarLander-v3", "my/Moon-v0", {"gravity": (-11, -2)}))
    assert len(list(play(env, seed=0, steps=150))) == 151
    assert env.unwrapped.gravity == env.get_wrapper_attr("parameters")["gravity"]


@pytest.mark.parametrize(
    ("ranges", "error", "words"),
    [
        ({}, BadArgument, "empty"),
        (None, BadArgument, "ranges is None"),
        ({5: (1, 2)}, BadArgument, "ranges is"),
        ({"lenght": (1, 2)}, UnknownName, "Did you mean 'length'"),
        ({"length": (2, 1)}, BadArgument, "in order"),
        ({"length": (0, 1, "log")}, BadArgument, "positive"),
        ({"length": (1, 2, "exp")}, BadArgument, "low, high"),
        ({"length": 3}, BadArgument, "low, high"),
        ({"length": (0, 1)}, BadArgument, "> 0"),
        ({"length": (1, float("inf"))}, BadArgument, "finite"),
    ],
)
def test_ranges_that_cannot_be_are_refused(ranges, error, words):
    with pytest.raises(error, match=words):
        randomized("CartPole-v1", "my/Bad-v0", ranges)
    assert "my/Bad-v0" not in gym.registry


def test_conflicts_misfits_and_parameters_out_of_range_are_refused():
    id = randomized("CartPole-v1", "my/Poles-v0", POLES)
    assert randomized("CartPole-v1", "my/Poles-v0", POLES) == id
    with pytest.raises(RegistrationConflict):
        randomized("CartPole-v1", "my/Poles-v0", {"length": (1, 2)})
    with pytest.raises(SpaceMismatch, match="flatten"):
        randomized("FrozenLake-v1", "my/Ice-v0", {"success_rate": (0.2, 0.9)}, context=True)
    env = registry.make(id)
    with pytest.raises(BadArgument, match="from 5"):
        env.reset(options={"parameters": {"force_mag": 20.0}})
    with pytest.raises(UnknownName, match="force_mag"):
        env.reset(options={"parameters": {"force": 5.0}})
    for names in ({"length": (1, 2)}, {"force_mag": (8, 9)}):
        with pytest.raises(BadArgument, match="randomized already: give all ranges to one call"):
            randomized(id, "my/Twice-v0", names)
    assert "my/Twice-v0" not in gym.registry


def test_a_range_is_scaled_from_minus_one_to_one():
    assert Range(2, 6).scaled(3) == -0.5 and Range(2, 6).at(0.25) == 3
    log = Range(0.01, 100, log=True)
    assert log.at(0.5) == pytest.approx(1.0) and log.scaled(10.0) == pytest.approx(0.5)


class Counter(gym.Env):
    """Counts its steps, rewards with ``factor`` times the action, ends after two steps."""

    def __init__(self, factor=1.0, actions=None):
        self.observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.action_space = actions or spaces.Discrete(3)
        self.factor, self.count = factor, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        reward = self.factor * float(np.sum(action))
        return np.array([self.count], np.float32), reward, self.count == 2, False, {}


@pytest.fixture
def counters():
    for factor in (1, 10):
        gym.register(
            f"my/Counter{factor}-v0", Counter, kwargs={"factor": float(factor)}, max_episode_steps=9
        )
    return ["my/Counter1-v0", "my/Counter10-v0"]


def test_a_trial_shows_the_last_action_reward_and_end(counters):
    env = registry.make(trials(counters[:1], "my/Trials-v0", episodes=2))
    first, info = env.reset(seed=0)
    assert info["task"] == counters[0]
    steps = [env.step(action) for action in (2, 1, 0, 2)]
    # Count, one-hot of three actions, reward, end of an episode.
    expected = [
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 2, 0],
        [0, 0, 1, 0, 1, 1],
        [1, 1, 0, 0, 0, 0],
        [2, 0, 0, 1, 2, 1],
    ]
    np.testing.assert_array_equal([first, *(step[0] for step in steps)], expected)
    assert [step[1] for step in steps] == [2, 1, 0, 2]
    assert [step[2] for step in steps] == [False, False, False, True]
    assert env.unwrapped.returns == [3, 2]


def test_the_task_of_a_trial_is_drawn_from_the_seed_and_kept(counters):
    env = registry.make(trials(counters, "my/Trials-v0", episodes=3))
    tasks = []
    for seed in range(30):
        _, info = env.reset(seed=seed)
        rewards = [env.step(1)[1] for _ in range(6)]
        assert rewards == [1.0 if info["task"] == counters[0] else 10.0] * 6
        assert env.reset(seed=seed)[1] == info
        tasks.append(info["task"])
    assert 8 < tasks.count(counters[0]) < 22


def test_a_trial_keeps_the_parameters_of_a_randomized_task():
    poles = randomized("CartPole-v1", "my/Poles-v0", POLES)
    env = registry.make(trials(poles, "my/Trials-v0", episodes=2))
    seen = []
    for _ in range(2):
        parameters, over = env.reset(seed=None if seen else 0)[1]["parameters"], False
        while not over:
            *_, over, _, _ = env.step(1)
        # One of these would have been drawn anew for the second episode.
        assert env.unwrapped._env.get_wrapper_attr("parameters") == parameters
        seen.append(parameters)
    assert seen[0] != seen[1]


def test_the_lstm_is_reset_by_trials_and_not_by_their_episodes(counters):
    id = trials(counters, "my/Trials-v0", episodes=2)
    small = {"n_steps": 8, "batch_size": 8, "policy_kwargs": {"lstm_hidden_size": 8}}
    model = fresh(id, algorithm="recurrent_ppo", n_envs=1, seed=0, **small)
    assert isinstance(model, RecurrentPPO)
    model.learn(8)
    buffer = model.rollout_buffer
    starts, ends = buffer.episode_starts.ravel(), buffer.observations[..., -1].ravel()
    np.testing.assert_array_equal(starts, [1, 0, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(ends, [0, 0, 1, 0, 0, 0, 1, 0])
    # Of the state that begins a step, only that after the end of a trial is forgotten.
    states = np.abs(buffer.hidden_states_pi).reshape(8, -1).sum(axis=1)
    assert states[2] > 0
    model.get_env().close()


def test_trials_of_box_actions_are_evaluated_to_their_end():
    box = spaces.Box(-1, 1, (2,), np.float32)
    gym.register("my/Box-v0", Counter, kwargs={"actions": box}, max_episode_steps=9)
    id = trials("my/Box-v0", "my/Trials-v0", episodes=3)
    model = fresh(id, n_envs=1, n_steps=8, batch_size=8)
    assert model.observation_space.shape == (1 + 2 + 2,)
    assert set(evaluate(model, id, episodes=3).lengths) == {6}
    model.get_env().close()


def test_trials_that_cannot_be_are_refused(counters):
    with pytest.raises(BadArgument, match="episodes"):
        trials(counters, "my/T-v0", episodes=0)
    with pytest.raises(BadArgument, match="at least one"):
        trials([], "my/T-v0")
    with pytest.raises(SpaceMismatch, match="equal"):
        trials([counters[0], "CartPole-v1"], "my/T-v0")
    gym.register("my/Endless-v0", Counter)
    with pytest.raises(BadArgument, match="time limit"):
        trials("my/Endless-v0", "my/T-v0")
    trials(counters, "my/T-v0")
    with pytest.raises(RegistrationConflict):
        trials(counters, "my/T-v0", episodes=5)
    with pytest.raises(UnknownName):
        trials("my/Nothing-v0", "my/T2-v0")


def test_trials_that_are_refused_leave_no_environment_open(counters, monkeypatch):
    closed = []
    monkeypatch.setattr(Counter, "close", lambda env: closed.append(env))
    for tasks, error in (
        ([*counters, "my/Nothing-v0"], UnknownName),
        ([counters[0], "CartPole-v1"], SpaceMismatch),
    ):
        closed.clear()
        with pytest.raises(error):
            trials(tasks, "my/T-v0")
        assert len(set(closed)) == len(tasks) - 1
