"""Gymnasium's vector environments behind SB3's interface, compared with SB3's own DummyVecEnv."""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from rltransfer.errors import BadArgument, BadEnvironment
from rltransfer.vec import GuardVecEnv, VectorEnvAdapter, make_vec

SAME, NEXT, OFF = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
BOX = spaces.Box(-9, 9, (3,), np.float32)
SPACES = {
    "box": BOX,
    "float64": spaces.Box(-9, 9, (2, 2), np.float64),
    "image": spaces.Box(0, 255, (4, 4, 3), np.uint8),
    "discrete": spaces.Discrete(7),
    "multi": spaces.MultiDiscrete([3, 4]),
    "dict": spaces.Dict({"room": spaces.Discrete(3), "speed": BOX}),
    "tuple": spaces.Tuple((BOX, spaces.Discrete(3))),
}


class Walk(gym.Env):
    """Ends at random, by itself or by its limit or by both at once; tells much in its infos."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, kind: str = "box", limit: int = 5, render_mode: str | None = None) -> None:
        self.observation_space = deepcopy(SPACES[kind])
        self.action_space = spaces.Discrete(4)
        self.limit, self.render_mode = limit, render_mode
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {"first": float(self.np_random.random())}

    def step(self, action: int) -> Any:
        self.steps += 1
        terminated = bool(self.np_random.random() < 0.15)
        info = {
            "steps": self.steps,
            "where": np.array([self.steps, action]),
            "name": f"step {self.steps}",
            "parts": {"a": float(action), "deep": {"b": self.steps}},
        }
        if self.steps == 2:
            info["now and then"] = True
        reward = float(self.np_random.normal())
        seen = self.observation_space.sample()
        return seen, reward, terminated, self.steps >= self.limit, info

    def render(self) -> np.ndarray:
        return np.full((2, 2, 3), self.steps, np.uint8)

    def valid(self, least: int = 0) -> np.ndarray:
        return np.arange(4) >= least + self.steps % 2


class Batch(VectorEnv):
    """Writes into the same arrays at every step, and lets a test say what each step gives."""

    def __init__(self, mode: AutoresetMode | None = SAME, n: int = 3, kind: str = "box") -> None:
        self.num_envs = n
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = SPACES[kind], spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, n)
        self.seen = np.zeros((n, 3), np.float32)
        self.length = np.linspace(1, 2, n)
        self.gravity = 9.8
        self.result: dict[str, Any] = {}
        self.asked: list[Any] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.asked.append((seed, options))
        self.seen[:] = 0
        return self.seen, {}

    def step(self, actions: np.ndarray) -> Any:
        self.seen += 1
        no = np.zeros(self.num_envs, bool)
        usual = {"seen": self.seen, "rewards": np.ones(self.num_envs), "ends": no, "infos": {}}
        seen, rewards, ends, infos = (usual | self.result).values()
        return seen, rewards, ends, no, infos

    def masks(self, least: int = 0) -> np.ndarray:
        return np.arange(2 * self.num_envs).reshape(self.num_envs, 2) >= least


def reference(n: int, seed: int | None = 3, **kwargs: Any) -> VecEnv:
    venv = DummyVecEnv([lambda: Monitor(Walk(**kwargs)) for _ in range(n)])
    if seed is not None:
        venv.seed(seed)
    return venv


def walks(n: int, mode: AutoresetMode, *, workers: bool = False, **kwargs: Any) -> VectorEnvAdapter:
    makers = [partial(Walk, **kwargs) for _ in range(n)]
    kind = AsyncVectorEnv if workers else SyncVectorEnv
    return VectorEnvAdapter(kind(makers, autoreset_mode=mode))


def same(got: Any, expected: Any) -> bool:
    """Whether two results are the same, to the type of every array."""
    if isinstance(expected, dict):
        return set(got) == set(expected) and all(same(got[k], expected[k]) for k in expected)
    if isinstance(expected, tuple | list):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, np.ndarray) and expected.ndim:
        return got.dtype == expected.dtype and np.array_equal(got, expected)
    return got == expected


def without_time(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the seconds that an episode took, once they are plausible."""
    for info in infos:
        if "episode" in info:
            assert 0 <= info["episode"].pop("t") < 60
    return infos


@pytest.mark.parametrize("mode", [SAME, NEXT, OFF])
@pytest.mark.parametrize("kind", SPACES)
def test_everything_is_as_dummyvecenv_gives_it(kind: str, mode: AutoresetMode) -> None:
    ours, theirs = walks(3, mode, kind=kind), reference(3, kind=kind)
    ours.seed(3)
    assert same(ours.reset(), theirs.reset()) and same(ours.reset_infos, theirs.reset_infos)
    assert ours.observation_space == theirs.observation_space
    ends, random = 0, np.random.default_rng(0)
    for _ in range(60):
        actions = random.integers(4, size=3)
        *got, got_infos = ours.step(actions)
        *expected, expected_infos = theirs.step(actions)
        assert same(got, expected)
        assert same(without_time(got_infos), without_time(expected_infos))
        assert same(ours.reset_infos, theirs.reset_infos)
        ends += expected[2].sum()
    assert ends > 30
    # Seeds hold for one reset.
    assert same(ours.reset(), theirs.reset())


@pytest.mark.parametrize("mode", [SAME, NEXT])
def test_workers_give_the_same(mode: AutoresetMode) -> None:
    ours, theirs = walks(2, mode, workers=True), reference(2)
    ours.seed(3)
    assert same(ours.reset(), theirs.reset())
    for step in range(20):
        *got, got_infos = ours.step(np.array([step % 4, 1]))
        *expected, expected_infos = theirs.step(np.array([step % 4, 1]))
        assert same(got, expected)
        assert same(without_time(got_infos), without_time(expected_infos))
    assert not ours.has_attr("no_such") and ours.get_attr("limit") == [5, 5]
    ours.set_attr("limit", 9, indices=1)
    assert ours.get_attr("limit") == [5, 9] and ours.get_attr("limit", indices=[1]) == [9]
    assert same(ours.env_method("valid", 1), theirs.env_method("valid", 1))
    with pytest.raises(BadArgument, match=r"valid\(\) acts on all"):
        ours.env_method("valid", indices=0)
    ours.close()


def test_training_is_that_on_dummyvecenv() -> None:
    settings: dict[str, Any] = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 0}
    models = []
    for venv in (walks(4, NEXT, limit=3), reference(4, limit=3, seed=None)):
        model = PPO("MlpPolicy", VecNormalize(venv), **settings).learn(256)
        models.append(model)
    ours, theirs = (m.policy.state_dict() for m in models)
    for name, weights in theirs.items():
        np.testing.assert_array_equal(ours[name], weights)
    buffers = [[(e["r"], e["l"]) for e in m.ep_info_buffer] for m in models]
    assert buffers[0] == buffers[1] and len(buffers[0]) > 50


def test_attributes_and_methods_of_each_environment() -> None:
    ours, theirs = walks(3, SAME, render_mode="rgb_array"), reference(3, render_mode="rgb_array")
    for venv in (ours, theirs):
        venv.seed(3)
        venv.reset()
        for _ in range(2):
            venv.step(np.zeros(3, int))
    assert ours.has_attr("valid") and not ours.has_attr("action_masks")
    assert ours.get_attr("steps") == theirs.get_attr("steps")
    assert same(ours.env_method("valid", least=1), theirs.env_method("valid", least=1))
    assert len(ours.env_method("valid", indices=[0, 2])) == 2
    ours.set_attr("limit", 7, indices=[0, 2])
    assert ours.get_attr("limit") == [7, 5, 7]
    ours.set_attr("limit", 8)
    assert ours.get_attr("limit") == [8, 8, 8]
    assert ours.env_is_wrapped(Monitor) == [True] * 3
    assert ours.env_is_wrapped(gym.wrappers.TimeLimit, indices=0) == [False]
    assert ours.render_mode == theirs.render_mode == "rgb_array"
    np.testing.assert_array_equal(ours.render(), theirs.render())
    spaces_of_each = ours.get_attr("action_space")
    assert spaces_of_each[0] is ours.action_space and spaces_of_each[1] is not spaces_of_each[0]
    assert ours.get_attr("observation_space", 1) == [BOX]


def test_attributes_of_a_batch() -> None:
    venv = VectorEnvAdapter(Batch(), spec=gym.spec("CartPole-v1"))
    assert venv.get_attr("length") == [1.0, 1.5, 2.0] and venv.get_attr("gravity") == [9.8] * 3
    assert [spec.id for spec in venv.get_attr("spec")] == ["CartPole-v1"] * 3
    venv.set_attr("length", 4.0, indices=[1])
    assert venv.get_attr("length") == [1.0, 4.0, 2.0]
    venv.set_attr("gravity", 1.0)
    assert venv.get_attr("gravity", indices=0) == [1.0]
    with pytest.raises(BadArgument, match="gravity is the same for all"):
        venv.set_attr("gravity", 2.0, indices=0)
    masks = venv.env_method("masks", least=3)
    np.testing.assert_array_equal(masks, [[False, False], [False, True], [True, True]])
    assert not venv.has_attr("action_masks")
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3


def test_a_batch_has_no_separate_environments() -> None:
    venv = VectorEnvAdapter(Batch())
    for name in ("unwrapped", "env", "no_such"):
        with pytest.raises(AttributeError, match=f"one batch, has no '{name}'.*vec=\"sync\""):
            venv.get_attr(name)
    # It would be an attribute that nobody reads.
    for indices in (None, [1]):
        with pytest.raises(BadArgument, match=r"has no 'masspole'.*vec=\"sync\""):
            venv.set_attr("masspole", 2.0, indices=indices)
    assert not venv.has_attr("masspole")


def test_generators_of_a_batch_are_those_of_its_environments() -> None:
    ours, theirs = make_vec("CartPole-v1", 3, seed=5, vec="native"), reference(3)
    for venv in (ours, theirs):
        venv.seed(5)
        venv.reset()
    assert ours.get_attr("np_random_seed") == theirs.get_attr("np_random_seed") == [5, 6, 7]
    assert len({id(generator) for generator in ours.get_attr("np_random")}) == 3


@pytest.mark.parametrize("vec", ["native", "sync"])
def test_environments_without_pictures_have_none(vec: Any) -> None:
    venv = make_vec("CartPole-v1", 2, vec=vec)
    venv.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DummyVecEnv warns.
        assert venv.get_images() == [None, None]


def test_wrappers_of_vectors_are_searched_too() -> None:
    inner = gym.wrappers.vector.RecordEpisodeStatistics(Batch(), buffer_length=5)
    venv = VectorEnvAdapter(inner)
    assert venv.get_attr("episode_count") == [0] * 3 and venv.get_attr("gravity") == [9.8] * 3
    venv.set_attr("gravity", 1.0)
    assert inner.env.gravity == 1.0


def test_what_was_returned_stays_as_it_was() -> None:
    env = Batch()
    venv = VectorEnvAdapter(env)
    first = venv.reset()
    second, *_ = venv.step(np.zeros(3, int))
    final = np.full((3, 3), 7, np.float32)
    env.result = {"ends": np.array([False, True, False]), "infos": {"final_obs": final}}
    third, _, _, infos = venv.step(np.zeros(3, int))
    final[:] = 0
    venv.step(np.zeros(3, int))
    assert (first == 0).all() and (second == 1).all() and (third == 2).all()
    np.testing.assert_array_equal(infos[1]["terminal_observation"], np.full(3, 7, np.float32))
    assert infos[0] == infos[2] == {"TimeLimit.truncated": False}


def test_returns_are_summed_in_double_precision_and_rounded_as_monitor_does() -> None:
    env = Batch()
    venv = VectorEnvAdapter(env)
    venv.reset()
    env.result = {"rewards": np.array([0.1, 1e8, 1 / 3])}
    for _ in range(9):
        *_, rewards, _, _ = venv.step(np.zeros(3, int))
    assert rewards.dtype == np.float32
    env.result |= {"ends": np.ones(3, bool), "infos": {"final_obs": env.seen}}
    *_, infos = venv.step(np.zeros(3, int))
    assert [info["episode"]["r"] for info in infos] == [1.0, 1e9, 3.333333]
    assert [info["episode"]["l"] for info in infos] == [10, 10, 10]
    *_, infos = venv.step(np.zeros(3, int))
    assert [info["episode"]["l"] for info in infos] == [1, 1, 1]


def test_infos_without_masks_belong_to_all() -> None:
    env = Batch()
    env.result = {"infos": {"lives": np.array([3, 2, 1]), "speed": 4, "_odd": 5}}
    venv = VectorEnvAdapter(env)
    venv.reset()
    *_, infos = venv.step(np.zeros(3, int))
    assert [info["lives"] for info in infos] == [3, 2, 1]
    assert all(info["speed"] == 4 and info["_odd"] == 5 for info in infos)


def test_seeds_and_options_go_to_the_next_reset() -> None:
    env = Batch()
    venv = VectorEnvAdapter(env)
    venv.seed(5)
    venv.set_options({"goal": 1})
    venv.reset()
    venv.reset()
    venv._seeds = [1, 5, 9]
    venv.reset()
    assert env.asked == [(5, {"goal": 1}), (None, None), ([1, 5, 9], None)]
    venv.set_options([{"goal": 1}, {"goal": 2}, {}])
    with pytest.raises(BadEnvironment, match="same reset options"):
        venv.reset()


@pytest.mark.parametrize("mode", [NEXT, OFF])
def test_environments_that_ignore_the_mask_are_named(mode: AutoresetMode) -> None:
    env = Batch(mode)
    env.result = {"ends": np.array([False, True, False])}
    venv = VectorEnvAdapter(env)
    venv.reset()
    with pytest.raises(
        BadEnvironment, match=r"Batch: it ignores reset_mask.*autoreset_mode=.*SAME"
    ):
        venv.step(np.zeros(3, int))
    # Where all end at once, nothing is lost.
    env.result = {"ends": np.ones(3, bool)}
    venv.reset()
    assert (venv.step(np.zeros(3, int))[0] == 0).all()


def test_gymnasiums_own_vector_cartpole_is_named() -> None:
    env = gym.make_vec("CartPole-v1", 4, vectorization_mode="vector_entry_point")
    venv = VectorEnvAdapter(env)
    venv.seed(0)
    venv.reset()
    with pytest.raises(BadEnvironment, match="CartPole-v1: it ignores reset_mask"):
        for step in range(200):
            venv.step(np.full(4, step % 3 % 2))
    venv.close()


class Refusing(Batch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if options:
            raise ValueError("unknown option\nreset_mask")
        return super().reset(seed=seed)


def test_environments_that_refuse_the_mask_are_named() -> None:
    env = Refusing(NEXT)
    env.result = {"ends": np.array([False, True, False])}
    venv = VectorEnvAdapter(env)
    venv.reset()
    with pytest.raises(BadEnvironment, match=r"alone \(ValueError: unknown option reset_mask\): m"):
        venv.step(np.zeros(3, int))


class Raising(Batch):
    def step(self, actions: np.ndarray) -> Any:
        raise RuntimeError("the motor failed")


@pytest.mark.parametrize(
    ("env", "result", "words"),
    [
        (Batch(), {"seen": np.zeros((3, 4))}, r"observations have shape \(3, 4\), expected"),
        (Batch(), {"rewards": np.zeros((3, 1))}, r"rewards are float64 of shape \(3, 1\)"),
        (Batch(), {"rewards": np.array(["1"] * 3)}, "rewards are <U1"),
        (Batch(), {"ends": np.ones(3, bool)}, 'infos lack "final_obs"'),
        (Raising(), {}, r"step\(\) raised RuntimeError: the motor failed"),
    ],
)
def test_results_that_break_the_contract(env: Batch, result: dict[str, Any], words: str) -> None:
    env.result = result
    venv = VectorEnvAdapter(env)
    venv.reset()
    with pytest.raises(BadEnvironment, match=words):
        venv.step(np.zeros(3, int))


def test_the_mode_of_resetting_must_be_known() -> None:
    with pytest.raises(BadEnvironment, match=r"autoreset_mode=\.\.\.\)"):
        VectorEnvAdapter(Batch(None))
    env = Batch(None)
    env.result = {"ends": np.ones(3, bool)}
    venv = VectorEnvAdapter(env, autoreset_mode=NEXT)
    venv.reset()
    assert venv.step(np.zeros(3, int))[2].all()


def test_nested_observations_are_refused() -> None:
    env = Batch()
    env.single_observation_space = spaces.Dict({"a": spaces.Dict({"b": BOX})})
    with pytest.raises(BadEnvironment, match="Nested observation spaces"):
        VectorEnvAdapter(env)


def test_nan_is_found_around_it() -> None:
    env = Batch()
    venv = GuardVecEnv(VectorEnvAdapter(env), "my/Batch-v0")
    venv.reset()
    env.seen[2, 1] = np.nan
    with pytest.raises(
        BadEnvironment, match=r"my/Batch-v0, environment 2, at step 1.*\[1\] is nan"
    ):
        venv.step(np.zeros(3, int))


def test_closing_reaches_the_environments() -> None:
    env = Batch()
    VectorEnvAdapter(env).close()
    assert env.closed
