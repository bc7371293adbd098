"""Adapters: what the policy sees and does, as tasks of their own, in worker processes too."""

import json
import os
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env

from rltransfer import registry
from rltransfer.adapters import (
    ADAPTERS,
    MapActions,
    PadObservation,
    PermuteActions,
    SelectObservation,
    adapted,
    adapter,
)
from rltransfer.errors import BadArgument, RegistrationConflict, SpaceMismatch, UnknownName
from rltransfer.evaluate import evaluate
from rltransfer.vec import make_vec


@pytest.fixture(autouse=True)
def _own_registries(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))


class Recorder(gym.Env):
    """Shows the last action, and remembers what it was given."""

    def __init__(self, actions=None, observations=None):
        self.action_space = actions or spaces.Box(
            np.array([-1, -2, -3], np.float32), np.array([10, 20, 30], np.float32)
        )
        self.observation_space = observations or spaces.Box(
            np.array([0, -1, -2, -3], np.float32), np.array([1, 2, 3, np.inf], np.float32)
        )
        self.given = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([0.5, 1.5, 2.5, 3.5], np.float32), {}

    def step(self, action):
        self.given.append(action)
        return np.array([0.5, 1.5, 2.5, 3.5], np.float32) + 0.25, 1.0, False, False, {}


class Masked(Recorder):
    def __init__(self):
        super().__init__(actions=spaces.Discrete(4))

    def action_masks(self):
        return np.array([True, False, False, True])


def test_select_observation():
    env = SelectObservation(Recorder(), indices=[3, 0, 3])
    np.testing.assert_array_equal(env.reset()[0], np.array([3.5, 0.5, 3.5], np.float32))
    np.testing.assert_array_equal(env.step(None)[0], np.array([3.75, 0.75, 3.75], np.float32))
    low, high = np.array([-3, 0, -3], np.float32), np.array([np.inf, 1, np.inf], np.float32)
    assert env.observation_space == spaces.Box(low, high, dtype=np.float32)


def test_pad_observation():
    env = PadObservation(Recorder(), size=6, positions=[5, 0, 2, 3], fill=-7.5)
    first, second = env.reset()[0], env.step(None)[0]
    np.testing.assert_array_equal(first, np.array([1.5, -7.5, 2.5, 3.5, -7.5, 0.5], np.float32))
    np.testing.assert_array_equal(
        second, np.array([1.75, -7.5, 2.75, 3.75, -7.5, 0.75], np.float32)
    )
    assert first.dtype == env.observation_space.dtype == np.float32
    assert env.observation_space.high[1] == env.observation_space.low[1] == -7.5
    assert env.observation_space.low[5] == 0 and env.observation_space.high[3] == np.inf


def test_map_actions():
    inner = Recorder(actions=spaces.Discrete(3, start=5))
    env = MapActions(inner, mapping=[7, 5, 5, 6])
    assert env.action_space == spaces.Discrete(4)
    for action in np.arange(4):
        env.step(action)
    assert inner.given == [7, 5, 5, 6]
    assert not env.has_wrapper_attr("action_masks")


def test_map_actions_translates_masks():
    env = MapActions(Masked(), mapping=[1, 3, 0])
    np.testing.assert_array_equal(env.get_wrapper_attr("action_masks")(), [False, True, True])


def test_permute_actions():
    inner = Recorder()
    env = PermuteActions(inner, order=[2, 0, 1], signs=[1, -1, 1])
    env.step(np.array([4, 5, 6], np.float32))
    np.testing.assert_array_equal(inner.given[0], np.array([6, -4, 5], np.float32))
    assert inner.given[0].dtype == np.float32
    # Both ends of what the policy may do are both ends of what the environment takes.
    low, high = env.action(env.action_space.low), env.action(env.action_space.high)
    np.testing.assert_array_equal(np.minimum(low, high), inner.action_space.low)
    np.testing.assert_array_equal(np.maximum(low, high), inner.action_space.high)
    assert inner.action_space.contains(env.action(env.action_space.sample()))


def test_signs_are_optional():
    inner = Recorder()
    PermuteActions(inner, order=[1, 0, 2]).step(np.array([4, 5, 6], np.float32))
    np.testing.assert_array_equal(inner.given[0], [5, 4, 6])


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (SelectObservation, {"indices": [0, 4]}, r"4 is out of range.*0 to 3.*4 observations"),
        (SelectObservation, {"indices": [-1]}, r"-1 is out of range"),
        (SelectObservation, {"indices": []}, "empty"),
        (SelectObservation, {"indices": [0.5]}, "whole numbers"),
        (SelectObservation, {"indices": 3}, "whole numbers"),
        (PadObservation, {"size": 3, "positions": [0, 1, 2]}, "at least 4"),
        (PadObservation, {"size": 6, "positions": [0, 1, 2]}, "give 4 different ones"),
        (PadObservation, {"size": 6, "positions": [0, 1, 2, 2]}, "give 4 different ones"),
        (PadObservation, {"size": 6, "positions": [0, 1, 2, 6]}, "6 is out of range.*0 to 5"),
        (PadObservation, {"size": 6, "positions": [0, 1, 2, 3], "fill": np.nan}, "finite"),
        (PermuteActions, {"order": [0, 1]}, "each of 0 to 2 once"),
        (PermuteActions, {"order": [0, 1, 1]}, "each of 0 to 2 once"),
        (PermuteActions, {"order": [0, 1, 3]}, "3 is out of range"),
        (PermuteActions, {"order": [0, 1, 2], "signs": [1, 1]}, "3 numbers"),
        (PermuteActions, {"order": [0, 1, 2], "signs": [1, 1, 2]}, "1 or -1"),
    ],
)
def test_arguments_outside_their_range(kind, arguments, words):
    with pytest.raises(BadArgument, match=words):
        kind(Recorder(), **arguments)


def test_mapping_to_actions_that_do_not_exist():
    env = Recorder(actions=spaces.Discrete(3))
    with pytest.raises(BadArgument, match=r"3 is out of range.*0 to 2.*3 actions"):
        MapActions(env, mapping=[0, 3])
    with pytest.raises(BadArgument, match=r"empty"):
        MapActions(env, mapping=[])


def test_fill_must_fit_the_dtype():
    env = Recorder(observations=spaces.Box(0, 255, (4,), np.uint8))
    assert PadObservation(env, 5, [0, 1, 2, 3], fill=7).observation_space.dtype == np.uint8
    for fill in (-1, 256, 0.5):
        with pytest.raises(BadArgument, match="uint8"):
            PadObservation(env, 5, [0, 1, 2, 3], fill=fill)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (SelectObservation, {"indices": [0]}),
        (PadObservation, {"size": 5, "positions": [0, 1, 2, 3]}),
        (PermuteActions, {"order": [0, 1, 2]}),
    ],
)
def test_spaces_of_the_wrong_kind(kind, arguments):
    square = spaces.Box(-1, 1, (2, 2), np.float32)
    env = Recorder(actions=square, observations=square)
    with pytest.raises(SpaceMismatch, match=rf"{kind.__name__}.*one-dimensional.*\(2, 2\)"):
        kind(env, **arguments)


def test_map_actions_is_for_discrete_actions():
    with pytest.raises(SpaceMismatch, match=r"MapActions.*Discrete.*Box"):
        MapActions(Recorder(), mapping=[0])


def pole(new_id="my/Pole-v0", base="CartPole-v1"):
    adapters = [
        adapter("SelectObservation", indices=[3, 2, 1, 0]),
        adapter("PadObservation", size=6, positions=[5, 4, 3, 2]),
        MapActions.wrapper_spec(mapping=[1, 0]),
    ]
    return adapted(base, new_id, adapters)


def trajectory(env, actions):
    observations = [env.reset(seed=3)[0]]
    for action in actions:
        observations.append(env.step(action)[0])
    return np.array(observations)


def test_an_adapted_task_is_the_base_seen_otherwise():
    assert pole() == "my/Pole-v0"
    env = registry.make("my/Pole-v0")
    actions = np.array([0, 1, 1, 0, 1])
    expected = trajectory(registry.make("CartPole-v1"), 1 - actions)
    # Reversed by the first adapter, then again by the positions of the second.
    got = trajectory(env, actions)
    np.testing.assert_array_equal(got[:, 2:], expected)
    assert not got[:, :2].any()
    assert env.spec.max_episode_steps == 500
    check_env(env)


def test_a_spec_survives_json():
    pole()
    spec = gym.spec("my/Pole-v0")
    again = EnvSpec.from_json(spec.to_json())
    # JSON knows no tuples, and Gymnasium sorts nothing: the text is the identity.
    assert json.loads(again.to_json()) == json.loads(spec.to_json())
    actions = [0, 1, 1]
    np.testing.assert_array_equal(
        trajectory(gym.make(again), actions), trajectory(gym.make(spec), actions)
    )
    made = gym.make(spec).spec
    assert made.additional_wrappers == spec.additional_wrappers


def test_the_task_inherits_its_scores():
    known = registry.task("CartPole-v1")
    registry._tasks["CartPole-v1"] = replace(
        known, family="poles", random=22.0, reference=500.0, scores_from="a test"
    )
    pole()
    task = registry.task("my/Pole-v0")
    assert (task.family, task.base) == ("poles", "CartPole-v1")
    assert (task.random, task.reference, task.scores_from) == (22.0, 500.0, "a test")
    assert task.normalize(261.0) == 0.5
    assert task.params["adapters"][2] == ["MapActions", {"mapping": [1, 0]}]
    assert task.differs_by == 0


def test_the_same_registration_twice_and_another():
    pole()
    spec = gym.spec("my/Pole-v0")
    pole()
    assert gym.spec("my/Pole-v0") is spec
    with pytest.raises(RegistrationConflict, match="my/Pole-v0"):
        adapted("CartPole-v1", "my/Pole-v0", [adapter("MapActions", mapping=[0, 1])])
    with pytest.raises(RegistrationConflict, match="CartPole-v1"):
        pole(new_id="CartPole-v1")
    assert gym.spec("my/Pole-v0") is spec


def test_adapters_go_around_what_a_constructor_puts_around_itself():
    # Gymnasium skips as many wrappers of a spec as the constructor has added.
    def padded_twice():
        inner = PadObservation(Recorder(actions=spaces.Discrete(2)), 5, [0, 1, 2, 3])
        return PadObservation(inner, 6, [0, 1, 2, 3, 4])

    gym.register("my/Wrapped-v0", entry_point=padded_twice, max_episode_steps=9)
    for count, columns in enumerate(([3, 0, 1], [2, 1], [1]), 1):
        adapters = [adapter("SelectObservation", indices=[3, 0, 1])]
        adapters += [adapter("SelectObservation", indices=[2, 1])] * (count > 1)
        adapters += [adapter("SelectObservation", indices=[1])] * (count > 2)
        env = registry.make(adapted("my/Wrapped-v0", f"my/Adapted{count}-v0", adapters))
        assert env.observation_space.shape == (len(columns),)
    assert env.reset()[0] == [0.5]


@pytest.mark.parametrize(
    ("adapters", "error", "words"),
    [
        ([], BadArgument, "empty"),
        ([("SelectObservation", {"indices": [9]})], BadArgument, "9 is out of range"),
        ([("SelectObservation", {})], BadArgument, "indices"),
        ([("SelectObservation", {"index": [0]})], BadArgument, "index"),
        ([("PermuteActions", {"order": [0]})], SpaceMismatch, "Discrete"),
    ],
)
def test_adapters_that_do_not_fit_register_nothing(adapters, error, words):
    with pytest.raises(error, match=words):
        adapted("CartPole-v1", "my/Bad-v0", [adapter(name, **kw) for name, kw in adapters])
    assert "my/Bad-v0" not in gym.registry and "my/Bad-v0" not in registry.tasks()


@pytest.mark.parametrize("new_id", ["module:my/Pole-v0", "my pole", ""])
def test_ids_that_are_none(new_id):
    with pytest.raises(BadArgument, match=r"Gymnasium id"):
        pole(new_id=new_id)


def test_unknown_names():
    with pytest.raises(UnknownName, match="Did you mean 'MapActions'"):
        adapter("MapAction", mapping=[0])
    with pytest.raises(UnknownName, match="CartPole-v1"):
        pole(base="CartPole-v")
    assert all(name == kind.__name__ for name, kind in ADAPTERS.items())


def test_adapters_reach_workers_that_know_nothing_of_them():
    pole()
    workers, here = (
        make_vec("my/Pole-v0", 2, seed=0, vec="subproc"),
        make_vec("my/Pole-v0", 2, seed=0),
    )
    np.testing.assert_array_equal(workers.reset(), here.reset())
    for action in (0, 1, 1):
        np.testing.assert_array_equal(
            workers.step(np.full(2, action))[0], here.step(np.full(2, action))[0]
        )
    assert os.getpid() not in [process.pid for process in workers.unwrapped.processes]
    workers.close()


def test_a_policy_does_as_well_behind_adapters_that_undo_a_change():
    model = PPO("MlpPolicy", make_vec("CartPole-v1", 4, seed=0), n_steps=128, seed=0)
    model.learn(2048)
    expected = evaluate(model, "CartPole-v1", episodes=5).returns
    changed = adapted(
        "CartPole-v1",
        "my/Changed-v0",
        [adapter("SelectObservation", indices=[2, 0, 3, 1]), adapter("MapActions", mapping=[1, 0])],
    )
    assert not np.array_equal(evaluate(model, changed, episodes=5).returns, expected)
    undone = adapted(
        changed,
        "my/Undone-v0",
        [adapter("SelectObservation", indices=[1, 3, 0, 2]), adapter("MapActions", mapping=[1, 0])],
    )
    np.testing.assert_array_equal(evaluate(model, undone, episodes=5).returns, expected)


def test_continuous_actions_that_are_flipped_back():
    flipped = adapted(
        "Pendulum-v1", "my/Flip-v0", [adapter("PermuteActions", order=[0], signs=[-1])]
    )
    back = adapted(flipped, "my/Back-v0", [adapter("PermuteActions", order=[0], signs=[-1])])
    model = PPO("MlpPolicy", make_vec("Pendulum-v1", 2, seed=0), n_steps=64, seed=0).learn(128)
    expected = evaluate(model, "Pendulum-v1", episodes=3).returns
    np.testing.assert_array_equal(evaluate(model, back, episodes=3).returns, expected)
    assert not np.array_equal(evaluate(model, flipped, episodes=3).returns, expected)


def test_training_on_an_adapted_task():
    model = PPO("MlpPolicy", make_vec(pole(), 2, seed=0), n_steps=32, batch_size=32, seed=0)
    before = model.policy.state_dict()["action_net.weight"].clone()
    model.learn(64)
    assert model.observation_space.shape == (6,)
    assert not before.equal(model.policy.state_dict()["action_net.weight"])
