"""Vectorized environments: seeds, faults that must be named, workers, normalization."""

import copy
import sys
import textwrap

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import rltransfer as rlt
from rltransfer import registry, vectorizing
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.errors import BadArgument, BadEnvironment, SpaceMismatch, UnknownName
from rltransfer.finite import all_finite
from rltransfer.guard import GuardVecEnv
from rltransfer.normalizing import observation_normalizer
from rltransfer.strict import StrictEnv
from rltransfer.vec import VectorEnvAdapter, make_vec, normalization_of, normalize
from rltransfer.vec.sync import SyncVecEnv

BAD_SEED = 2


class Faulty(gym.Env):
    """Counts up; the copy that is seeded with BAD_SEED commits one fault at one step."""

    def __init__(self, fault="none", at=3, kind="box"):
        box = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.observation_space = {
            "box": box,
            "dict": spaces.Dict({"count": spaces.Discrete(9), "state": box}),
            "tuple": spaces.Tuple((spaces.Discrete(9), box)),
        }[kind]
        self.action_space = spaces.Discrete(7)
        self.fault, self.at, self.kind = fault, at, kind
        self.bad = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.bad = seed == BAD_SEED
        self.steps = 0
        bad = self.bad and self.at == 0
        return self._observe(self._state(self.fault if bad else "none")), {}

    def step(self, action):
        self.steps += 1
        fault = self.fault if self.bad and self.steps == self.at else "none"
        reward = {"nan reward": np.nan, "inf reward": -np.inf, "text reward": "1"}.get(fault, 1.0)
        if fault == "no reward":
            return self._observe(self._state(fault)), False, False, {}
        if fault == "raise":
            raise RuntimeError("the motor failed")
        done = fault == "nan terminal" or self.steps == 20
        return self._observe(self._state(fault)), reward, done, False, {}

    def _state(self, fault):
        state = np.full(4, self.steps, np.float32)
        if fault in ("nan observation", "nan terminal"):
            state[2] = np.nan
        if fault == "inf observation":
            state[2] = -np.inf
        if fault == "huge observation":
            state[2] = 3e38
        if fault == "short observation":
            state = state[:1]
        return None if fault == "missing observation" else state

    def _observe(self, state):
        if self.kind == "dict":
            return {"count": 1, "state": state}
        return (1, state) if self.kind == "tuple" else state


class Picture(gym.Env):
    observation_space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


class Grid(Picture):
    """Vector of small integers, such as a flattened MiniGrid."""

    observation_space = spaces.Box(0, 255, (147,), np.uint8)


class Mixed(Picture):
    observation_space = spaces.Dict(
        {
            "camera": Picture.observation_space,
            "room": spaces.Discrete(3),
            "speed": spaces.Box(-1, 1, (2,), np.float32),
        }
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    for kind in (Faulty, Picture, Grid, Mixed, Forgetful):
        gym.register(f"vec/{kind.__name__}-v0", entry_point=kind, max_episode_steps=30)


def faulty(**kwargs):
    spec = gym.spec("vec/Faulty-v0")
    spec.kwargs = kwargs
    return make_vec(spec, 4, seed=0)


def run(venv, steps=6):
    venv.reset()
    for step in range(steps):
        venv.step(np.full(venv.num_envs, step % 7))


@pytest.mark.parametrize("vec", ["auto", "native", "sync"])
def test_seeds_are_those_of_stable_baselines(vec):
    ours = make_vec("CartPole-v1", 3, seed=7, vec=vec)
    theirs = make_vec_env("CartPole-v1", 3, seed=7)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for _ in range(60):  # Long enough for episodes to end and begin anew.
        actions = np.array([space.sample() for space in theirs.get_attr("action_space")])
        mine = np.array([space.sample() for space in ours.get_attr("action_space")])
        np.testing.assert_array_equal(mine, actions)
        observations, rewards, dones, infos = ours.step(actions)
        expected = theirs.step(actions)
        np.testing.assert_array_equal(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        assert [r.dtype for r in (observations, rewards, dones)] == [r.dtype for r in expected[:3]]
        assert [untimed(info) for info in infos] == [untimed(info) for info in expected[3]]


def untimed(info):
    """An info as text, without the seconds that its episode took."""
    episode = {**info.get("episode", {}), "t": None}
    return repr(sorted({**info, "episode": episode}.items()))


def test_tasks_are_stepped_natively_where_that_is_possible(my_tasks):
    native = make_vec("rlt/CartPoleLong-v0", 4, seed=0)
    assert isinstance(native.unwrapped, VectorEnvAdapter)
    # A few are stepped faster in turn.
    assert type(make_vec("rlt/CartPoleLong-v0", 2, seed=0).unwrapped) is SyncVecEnv
    assert native.get_attr("spec")[0].id == "rlt/CartPoleLong-v0"
    model = rlt.adapt("cartpole", "rlt/CartPoleLong-v0", n_envs=8)
    assert "8, VectorEnvAdapter of VectorCartPole" in model.engine_report()
    for other in (my_tasks, "vec/Faulty-v0"):
        assert type(make_vec(other, 4, seed=0).unwrapped) is SyncVecEnv
    wrapped = copy.deepcopy(registry.spec("CartPole-v1"))
    wrapped.additional_wrappers = (gym.wrappers.TransformReward.wrapper_spec(func=None),)
    assert type(make_vec("CartPole-v1", 2, vec="sync").unwrapped) is SyncVecEnv
    with pytest.raises(BadArgument, match='vec is "native", but no vectorised class is registered'):
        make_vec("vec/Faulty-v0", 2, vec="native")
    with pytest.raises(BadArgument, match=r"no vectorised class is registered for .*TransformRew"):
        make_vec(wrapped, 2, vec="native")


class Forgetful(Picture):
    """Gives the same arrays and the same info again and again, changed."""

    observation_space = spaces.Box(-9, 99, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen, self.info = np.zeros(2, np.float32), {"deep": [0], "array": np.zeros(2)}
        self.steps = 0
        return self.seen, {}

    def step(self, action):
        self.steps += 1
        self.seen += 1
        self.info["deep"][0] += 1
        self.info["array"] += 1
        self.info["number"] = np.float32(self.steps)
        return self.seen, float(self.steps), self.steps == 7, self.steps == 4, self.info


@pytest.mark.parametrize("task", ["vec/Forgetful-v0", "vec/Faulty-v0", "FrozenLake-v1"])
def test_stepping_in_turn_gives_what_stable_baselines_gives(task):
    """And all of it stays as it was, whatever the environment does with its arrays later."""
    spec = copy.deepcopy(registry.spec(task))
    spec.kwargs |= {"kind": "dict"} if "Faulty" in task else {}
    ours = make_vec(spec, 2, seed=1, vec="sync")
    theirs = DummyVecEnv([lambda: Monitor(registry.make(spec))] * 2)
    theirs.seed(1)
    kept = [[(ours.reset(), np.zeros(2, bool), []), (theirs.reset(), np.zeros(2, bool), [])]]
    for step in range(25):
        results = [venv.step(np.full(2, step % 2)) for venv in (ours, theirs)]
        kept.append([(seen, dones, infos) for seen, _, dones, infos in results])
        np.testing.assert_array_equal(results[0][1], results[1][1])
    for (seen, dones, infos), (expected, *others) in kept:
        plain = dict(expected) if isinstance(expected, dict) else expected
        assert repr(seen) == repr(plain)
        np.testing.assert_array_equal(dones, others[0])
        assert [untimed(info) for info in infos] == [untimed(info) for info in others[1]]
    assert ours.unwrapped.reset_infos == theirs.reset_infos
    assert sum(got[1].sum() for got, _ in kept) >= 2


def test_unseeded_environments_differ():
    observations = make_vec("CartPole-v1", 2).reset()
    assert not np.array_equal(observations[0], observations[1])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"n_envs": 0}, "n_envs is 0"),
        ({"n_envs": 1.5}, "n_envs is 1.5"),
        ({"n_envs": True}, "n_envs is True"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"vec": "async"}, "sync, subproc"),
        ({"start_method": "thread"}, "spawn, forkserver, fork"),
    ],
)
def test_arguments_outside_their_range(arguments, word):
    with pytest.raises(BadArgument, match=word):
        make_vec("CartPole-v1", **{"n_envs": 2, **arguments})


def test_environments_are_no_task():
    venv = make_vec("CartPole-v1", 2)
    with pytest.raises(BadArgument, match=r"the task is a GuardVecEnv.*model\.set_env"):
        rlt.adapt("cartpole", venv)


def test_a_batch_that_cannot_be_made_is_named():
    spec = copy.deepcopy(registry.spec("CartPole-v1"))
    spec.max_episode_steps = 50.0
    with pytest.raises(BadArgument, match=r"max_episode_steps is 50\.0"):
        make_vec(spec, 4)
    spec.max_episode_steps = 50
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectorizing, "vectorized", lambda spec: lambda n: 1 / 0)
        with pytest.raises(BadEnvironment, match="could not be made as one batch: Zero"):
            make_vec(spec, 4, vec="native")


def test_unknown_task_is_refused_before_workers_start():
    with pytest.raises(UnknownName, match="CartPole-v1"):
        make_vec("CartPol-v1", 2, vec="subproc")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan observation", ["observation[2] is nan", "at step 3 after action 2"]),
        ("inf observation", ["observation[2] is -inf", "at step 3 after action 2"]),
        ("nan terminal", ["observation[2] is nan", "terminal", "at step 3 after action 2"]),
        ("nan reward", ["the reward is nan", "at step 3 after action 2"]),
        ("inf reward", ["the reward is -inf", "at step 3 after action 2"]),
        ("text reward", ["the reward is '1'", "at step 3 after action 2"]),
        ("short observation", ["shape (1,)", "(4,)", "at step 3 after action 2"]),
        ("missing observation", ["None", "at step 3 after action 2"]),
        ("no reward", ["it raised ValueError: not enough values", "at step 3 after action 2"]),
        ("raise", ["it raised RuntimeError: the motor failed", "at step 3 after action 2"]),
    ],
)
def test_faults_are_named(fault, words):
    venv = faulty(fault=fault)
    with pytest.raises(BadEnvironment) as caught:
        run(venv)
    message = str(caught.value)
    for word in ["vec/Faulty-v0", "environment 2", *words]:
        assert word in message
    assert "\n" not in message


@pytest.mark.parametrize("fault", ["nan observation", "short observation", "missing observation"])
def test_faults_at_reset_are_named(fault):
    with pytest.raises(
        BadEnvironment, match=r"vec/Faulty-v0, environment 2, at reset: observation"
    ):
        faulty(fault=fault, at=0).reset()


@pytest.mark.parametrize(("kind", "part"), [("dict", "'state'"), ("tuple", "1")])
def test_parts_of_observations_are_checked(kind, part):
    with pytest.raises(BadEnvironment, match=rf"environment 2, at step 3.*part {part} is nan"):
        run(faulty(fault="nan observation", kind=kind))
    with pytest.raises(BadEnvironment, match=r"environment 2, at step 3.*shape \(1,\)"):
        run(faulty(fault="short observation", kind=kind))


class FourTuple(Picture):
    def step(self, action):
        return super().step(action)[:4]


def test_results_of_another_length_are_refused():
    # Without Gymnasium's wrappers, which unpack five.
    env = StrictEnv(FourTuple(), index=1)
    env.reset()
    with pytest.raises(BadEnvironment, match=r"environment 1.*\(observation, reward, terminated"):
        env.step(0)


def test_steps_are_counted_from_the_last_reset():
    # Episodes last 20 steps: step 3 of the second one is the 23rd.
    venv = GuardVecEnv(faulty(fault="none").venv, "vec/Faulty-v0")
    run(venv, 22)
    venv.set_attr("fault", "none")
    for env in venv.unwrapped.envs[2:3]:
        env.unwrapped.fault = "nan observation"
    with pytest.raises(BadEnvironment, match="at step 3 after action 5"):
        venv.step(np.full(4, 5))


@pytest.mark.parametrize("kind", ["box", "dict", "tuple"])
def test_sound_environments_pass(kind):
    run(faulty(kind=kind), 45)


def test_huge_values_are_finite():
    # Their sum of squares overflows.
    run(faulty(fault="huge observation"), 45)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_all_finite(dtype):
    values = np.full((3, 5), np.finfo(dtype).max, dtype)
    assert all_finite(values) and all_finite(values[:0])
    for wrong in (np.nan, np.inf, -np.inf):
        values[1, 2] = wrong
        assert not all_finite(values)


def test_training_stops_at_the_fault():
    model = PPO("MlpPolicy", faulty(fault="nan observation", at=9), n_steps=16, batch_size=16)
    with pytest.raises(BadEnvironment, match="environment 2, at step 9"):
        model.learn(64)


@pytest.fixture
def my_tasks(tmp_path, monkeypatch):
    """A user's module outside the repository, which registers its own environment."""
    (tmp_path / "my_vec_tasks.py").write_text(
        textwrap.dedent(
            """
            import gymnasium as gym
            from gymnasium.envs.classic_control import PendulumEnv

            class Mine(PendulumEnv):
                def __init__(self, fails_at=0):
                    super().__init__(g=3.0)
                    self.fails_at = fails_at
                    self.seeded = None

                def reset(self, *, seed=None, options=None):
                    self.seeded = seed if seed is not None else self.seeded
                    self.steps = 0
                    return super().reset(seed=seed)

                def step(self, action):
                    self.steps += 1
                    if self.steps == self.fails_at and self.seeded == 1:
                        raise RuntimeError("the motor failed")
                    return super().step(action)

            gym.register("my/Mine-v0", entry_point=Mine, max_episode_steps=9)
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_vec_tasks", raising=False)
    return "my_vec_tasks:my/Mine-v0"


def test_workers_run_a_users_environment(my_tasks):
    workers = make_vec(my_tasks, 2, seed=0, vec="subproc")
    here = make_vec(my_tasks, 2, seed=0, vec="sync")
    np.testing.assert_array_equal(workers.reset(), here.reset())
    for step in range(12):
        actions = np.full((2, 1), np.sin(step), np.float32)
        got, expected = workers.step(actions), here.step(actions)
        for ours, theirs in zip(got[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
    assert got[2].sum() == 0 and workers.get_attr("g") == [3.0, 3.0]
    workers.close()


def test_a_worker_that_fails_is_named(my_tasks):
    spec = registry.spec(my_tasks)
    spec.kwargs = {"fails_at": 4}
    venv = make_vec(spec, 2, seed=0, vec="subproc")
    venv.reset()
    processes = venv.unwrapped.processes
    with pytest.raises(BadEnvironment, match=r"ment 1, at step 4 after action .* the motor failed"):
        for _ in range(6):
            venv.step(np.zeros((2, 1), np.float32))
    assert not any(process.is_alive() for process in processes)
    venv.close()


def stats(*shape, offset=0.0):
    values = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    return RunningStats(mean=values + offset, var=values + 2, count=123.0)


def test_normalization_comes_back_as_it_went_in():
    given = Normalization(
        obs=True, reward=True, clip_obs=3.0, clip_reward=4.0, gamma=0.9, epsilon=1e-3,
        obs_stats=stats(4), return_stats=stats(),
    )  # fmt: skip
    venv = normalize(make_vec("CartPole-v1", 2, seed=0), given, training=True)
    assert type(venv) is VecNormalize
    read = normalization_of(venv)
    for name in ("obs", "reward", "clip_obs", "clip_reward", "gamma", "epsilon"):
        assert getattr(read, name) == getattr(given, name)
    for name in ("obs_stats", "return_stats"):
        for part in ("mean", "var", "count"):
            expected = getattr(getattr(given, name), part)
            np.testing.assert_array_equal(getattr(getattr(read, name), part), expected)
    venv.reset()
    venv.step(np.zeros(2, dtype=int))
    # Neither what was given nor what was read follows the environments.
    np.testing.assert_array_equal(given.obs_stats.mean, stats(4).mean)
    np.testing.assert_array_equal(read.obs_stats.mean, stats(4).mean)
    assert normalization_of(venv).obs_stats.count > 123.0


def test_statistics_stand_still_without_training():
    given = Normalization(obs=True, reward=True, obs_stats=stats(4), return_stats=stats())
    venv = normalize(make_vec("CartPole-v1", 2, seed=0), given, training=False)
    run(venv, 1)
    assert normalization_of(venv).obs_stats.count == 123.0


def test_nothing_to_normalize():
    venv = make_vec("CartPole-v1", 2)
    assert normalize(venv, None, training=True) is venv
    assert normalization_of(venv) is None
    assert normalization_of(PPO("MlpPolicy", venv, n_steps=8, batch_size=8)) is None


def test_normalization_of_a_model():
    given = Normalization(obs=True, reward=False, obs_stats=stats(4))
    venv = normalize(make_vec("CartPole-v1", 2), given, training=True)
    read = normalization_of(PPO("MlpPolicy", venv, n_steps=8, batch_size=8))
    np.testing.assert_array_equal(read.obs_stats.var, stats(4).var)


def test_integers_are_normalized_and_images_are_not():
    plain = Normalization(obs=True, reward=False)
    grid = normalize(make_vec("vec/Grid-v0", 2, seed=0), plain, training=True)
    assert grid.reset().dtype == np.float32 and np.abs(grid.reset()).max() < 4
    with pytest.raises(BadArgument, match=r"Box\(0, 255, \(36, 36, 3\), uint8\)"):
        normalize(make_vec("vec/Picture-v0", 2), plain, training=True)
    rewards_only = Normalization(obs=False, reward=True)
    assert normalize(make_vec("vec/Picture-v0", 2), rewards_only, training=True).reset().max() > 9


def test_only_the_vectors_of_a_dict_are_normalized():
    venv = normalize(make_vec("vec/Mixed-v0", 2), Normalization(obs=True, reward=False), True)
    assert list(venv.obs_rms) == ["speed"]
    assert venv.reset()["camera"].dtype == np.uint8
    for key in ("camera", "room"):
        wrong = Normalization(obs=True, reward=False, obs_stats={key: stats(36, 36, 3)})
        with pytest.raises(BadArgument, match=f"observation '{key}' is "):
            normalize(make_vec("vec/Mixed-v0", 2), wrong, training=True)


@pytest.mark.parametrize(
    ("task", "statistics", "words"),
    [
        ("CartPole-v1", stats(6), r"shape \(4,\), its statistics have \(6,\)"),
        ("CartPole-v1", {"speed": stats(4)}, "statistics of observation 'speed'"),
        ("vec/Mixed-v0", {"speed": stats(3)}, r"'speed' has shape \(2,\)"),
        ("vec/Mixed-v0", {"sped": stats(2)}, "statistics of observation 'sped'"),
        ("vec/Mixed-v0", stats(2), "statistics of the observation"),
    ],
)
def test_statistics_that_do_not_fit(task, statistics, words):
    spec = Normalization(obs=True, reward=False, obs_stats=statistics)
    venv = make_vec(task, 2)
    with pytest.raises(SpaceMismatch, match=words):
        normalize(venv, spec, training=True)
    with pytest.raises(SpaceMismatch, match=words):
        observation_normalizer(venv.observation_space, spec)


def test_normalizing_twice_is_refused():
    spec = Normalization(obs=True, reward=True)
    venv = normalize(make_vec("CartPole-v1", 2), spec, training=True)
    with pytest.raises(BadArgument, match="normalized already"):
        normalize(venv, spec, training=True)


@pytest.mark.parametrize("task", ["CartPole-v1", "vec/Mixed-v0"])
def test_observation_normalizer_is_that_of_vecnormalize(task):
    spec = Normalization(
        obs=True, reward=False, clip_obs=1.5,
        obs_stats={"speed": stats(2)} if "Mixed" in task else stats(4),
    )  # fmt: skip
    venv = normalize(make_vec(task, 3, seed=0), spec, training=False)
    raw = venv.venv.reset()
    expected = venv.normalize_obs(raw)
    got = observation_normalizer(venv.venv.observation_space, spec)(raw)
    if isinstance(raw, dict):
        assert got.keys() == expected.keys()
        for key in raw:
            np.testing.assert_array_equal(got[key], expected[key])
            assert got[key].dtype == expected[key].dtype
    else:
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


def test_observation_normalizer_needs_statistics():
    with pytest.raises(BadArgument, match="no statistics"):
        observation_normalizer(
            spaces.Box(-1, 1, (4,)), Normalization(obs=True, reward=False, obs_stats=None)
        )
