from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from agent_cases import (
    CARD,
    CASES,
    MOVE,
    OWN,
    PRESS,
    SMALL,
    VECTOR,
    Doubling,
    agent,
    assert_same_predictions,
    assert_same_tensors,
    predictions,
    train,
    venv,
)
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from rltransfer.agents import Agent, Card, Normalization, RunningStats, Score, agents, load, zoo
from rltransfer.agents import classes as named
from rltransfer.agents import hyperparameters as hyper
from rltransfer.agents import spaces as space_data
from rltransfer.agents.jsondata import parse, render
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName


class OwnPolicy(ActorCriticPolicy):
    """A policy of the user."""


class OwnPPO(PPO):
    """An algorithm of the user."""


# ---- a trained model survives the round trip ----


@pytest.mark.parametrize("case", CASES)
def test_saved_and_rebuilt_model_is_the_same(case: str, tmp_path: Path) -> None:
    model = CASES[case]()
    taken = Agent.from_model(model, card=CARD)
    taken.save(tmp_path / "a")
    read = Agent.read(tmp_path / "a", classes=OWN)
    built = read.build()
    assert type(built) is type(model)
    assert_same_predictions(model, built)
    assert_same_tensors(model.policy.state_dict(), built.policy.state_dict())
    assert read.sha256 == taken.sha256
    assert read.card == CARD
    assert built.observation_space == model.policy.observation_space
    again = Agent.from_model(built, card=CARD)
    assert again.hyperparameters == taken.hyperparameters
    assert again.policy_kwargs == taken.policy_kwargs
    assert_same_tensors(taken.optimizer, again.optimizer)


@pytest.mark.parametrize("case", ["discrete", "box", "multidiscrete", "maskable", "recurrent"])
def test_rebuilt_model_trains_on_exactly_as_the_original(case: str, tmp_path: Path) -> None:
    model = CASES[case]()
    taken = Agent.from_model(model, card=CARD)
    trained = []
    for candidate in (model, taken.build()):
        candidate.set_env(venv(model.observation_space, model.action_space))
        candidate.set_random_seed(7)
        candidate.learn(64)
        trained.append(candidate.policy.state_dict())
    assert_same_tensors(*trained)
    before = taken.weights
    assert any(not torch.equal(before[name], trained[0][name]) for name in before)


def test_optimizer_state_matters_and_can_be_left_out() -> None:
    model = CASES["box"]()
    without = Agent.from_model(model, card=CARD, optimizer=False)
    assert without.optimizer is None
    assert not without.build().policy.optimizer.state
    with_state = Agent.from_model(model, card=CARD)
    names = {name for name, _ in model.policy.named_parameters()}
    assert {name.rpartition("/")[0] for name in with_state.optimizer or {}} == names
    assert with_state.sha256 != without.sha256


def test_partly_frozen_model_keeps_which_parameters_have_state() -> None:
    model = train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL)
    fresh = PPO("MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL, **_short())
    for parameter in fresh.policy.mlp_extractor.parameters():
        parameter.requires_grad_(False)
    fresh.learn(32)
    taken = Agent.from_model(fresh, card=CARD)
    assert 0 < len(taken.optimizer or {}) < len(Agent.from_model(model, card=CARD).optimizer or {})
    again = Agent.from_model(taken.build(), card=CARD)
    assert_same_tensors(taken.optimizer, again.optimizer)


def test_agent_is_a_copy_of_the_model() -> None:
    model = CASES["box"]()
    taken = Agent.from_model(model, card=CARD)
    kept = copy.deepcopy(dict(taken.weights))
    digest = taken.sha256
    model.learn(32)
    taken.build().set_env(venv(VECTOR, MOVE))
    built = taken.build()
    built.set_env(venv(VECTOR, MOVE))
    built.learn(32)
    assert_same_tensors(kept, taken.weights)
    assert taken.sha256 == digest


def test_building_leaves_the_random_state_alone() -> None:
    taken = agent("gsde")
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    taken.build()
    assert torch.equal(torch.rand(4), expected)


def test_algorithm_class_and_arguments_make_the_same_policy() -> None:
    taken = agent("discrete")
    built = taken.build(algorithm_class=OwnPPO)
    assert type(built) is OwnPPO
    live = taken.arguments()
    assert live["policy_kwargs"]["activation_fn"] is torch.nn.ReLU
    assert isinstance(live["learning_rate"], LinearSchedule)
    fresh = PPO(env=venv(VECTOR, PRESS), device="cpu", **live)
    assert set(fresh.policy.state_dict()) == set(taken.weights)
    assert Agent.from_model(fresh, card=CARD).hyperparameters == taken.hyperparameters
    with pytest.raises(BadArgument, match="needs PPO or a subclass"):
        taken.build(algorithm_class=A2C)
    with pytest.raises(BadArgument, match="device='nowhere'"):
        taken.build(device="nowhere")


def test_subclass_and_own_policy_are_taken(tmp_path: Path) -> None:
    model = train(OwnPPO, OwnPolicy, venv(VECTOR, PRESS), policy_kwargs=SMALL)
    taken = Agent.from_model(model, card=CARD)
    assert taken.algorithm == "ppo"
    assert taken.policy == "test_agents:OwnPolicy"
    assert type(taken.build().policy) is OwnPolicy
    taken.save(tmp_path / "a")
    with pytest.raises(BadArgument, match=r"pass classes=\{'test_agents:OwnPolicy': TheClass\}"):
        Agent.read(tmp_path / "a").build()
    built = load(tmp_path / "a", classes={"OwnPolicy": OwnPolicy}).build()
    assert_same_predictions(model, built)


@pytest.mark.parametrize("key", ["agent_cases:Doubling", "Doubling"])
def test_own_extractor_is_never_imported_but_given(key: str, tmp_path: Path) -> None:
    agent("own extractor").save(tmp_path / "a")
    read = Agent.read(tmp_path / "a")
    with pytest.raises(BadArgument, match="which files may not import"):
        read.build()
    assert isinstance(read.build(classes={key: Doubling}).policy.features_extractor, Doubling)
    with pytest.raises(BadArgument, match="expected a class"):
        read.build(classes={key: Doubling.__init__})  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadCheckpoint, match=r"weights do not fit MlpPolicy|no MlpPolicy can be"):
        read.build(classes={key: torch.nn.Linear})


# ---- what does not fit is refused ----


def test_only_the_ppo_family_is_taken() -> None:
    model = A2C("MlpPolicy", venv(VECTOR, PRESS), n_steps=4, device="cpu")
    with pytest.raises(BadArgument, match="got A2C"):
        Agent.from_model(model, card=CARD)
    with pytest.raises(BadArgument, match=r"got str; for a file use rltransfer\.load"):
        Agent.from_model("model.zip", card=CARD)


def test_diverged_model_is_refused() -> None:
    model = CASES["box"]()
    with torch.no_grad():
        model.policy.log_std[0] = float("nan")
    with pytest.raises(BadArgument, match="'log_std' holds NaN or inf"):
        Agent.from_model(model, card=CARD)


def test_function_as_schedule_is_refused_with_the_cure() -> None:
    model = train(
        PPO, "MlpPolicy", venv(VECTOR, MOVE), learning_rate=lambda progress: progress * 1e-3
    )
    with pytest.raises(BadArgument, match=r"learning_rate is the function .*<lambda>") as caught:
        Agent.from_model(model, card=CARD)
    assert "LinearSchedule" in str(caught.value)
    taken = Agent.from_model(model, card=CARD, hyperparameters={"learning_rate": 1e-4})
    assert taken.hyperparameters["learning_rate"] == 1e-4
    with pytest.raises(UnknownName, match="Did you mean 'learning_rate'"):
        Agent.from_model(model, card=CARD, hyperparameters={"learning_rat": 1e-4})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("value_net.bias"), "value_net.bias is missing"),
        (lambda w: w.update(extra=torch.zeros(2)), "extra is unknown"),
        (lambda w: w.update({"log_std": torch.zeros(3)}), r"log_std is float32\[3\], expected"),
        (lambda w: w.update(log_std=w["log_std"].double()), r"log_std is float64\[2\], expected"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    taken = agent()
    weights = dict(taken.weights)
    change(weights)
    with pytest.raises(BadCheckpoint, match=f"weights do not fit MlpPolicy: {message}"):
        dataclasses.replace(taken, weights=weights).build()


def test_disagreeing_names_of_a_shared_tensor_are_refused() -> None:
    taken = agent("image")
    weights = dict(taken.weights)
    name = "vf_features_extractor.cnn.0.weight"
    weights[name] = weights[name] + 1
    with pytest.raises(BadCheckpoint, match="differs from another name of the same tensor"):
        dataclasses.replace(taken, weights=weights).build()


@pytest.mark.parametrize(
    "moments",
    [
        {"nobody/exp_avg": torch.zeros(2)},
        {"log_std/exp_avg": torch.zeros(3)},
    ],
)
def test_optimizer_state_that_fits_no_parameter_is_refused(moments: dict) -> None:
    with pytest.raises(BadCheckpoint, match="fits no parameter"):
        dataclasses.replace(agent(), optimizer=moments).build()


def test_statistics_of_stacked_frames_are_refused() -> None:
    env = VecFrameStack(VecNormalize(venv(VECTOR, MOVE)), n_stack=2)
    model = train(PPO, "MlpPolicy", env, policy_kwargs=SMALL)
    with pytest.raises(BadArgument, match=r"have shape \(5,\), but the policy observes \(10,\)"):
        Agent.from_model(model, card=CARD)


# ---- normalization ----


def test_statistics_travel_with_the_agent(tmp_path: Path) -> None:
    model = CASES["normalized"]()
    source = model.get_vec_normalize_env()
    taken = Agent.from_model(model, card=CARD)
    taken.save(tmp_path / "a")
    spec = Agent.read(tmp_path / "a").normalization
    assert spec is not None
    assert (spec.obs, spec.reward, spec.clip_obs, spec.gamma) == (True, True, 5.0, 0.9)
    assert isinstance(spec.obs_stats, RunningStats)
    assert np.array_equal(spec.obs_stats.mean, source.obs_rms.mean)
    assert np.array_equal(spec.obs_stats.var, source.obs_rms.var)
    assert spec.obs_stats.count == source.obs_rms.count > 32
    assert spec.return_stats is not None and spec.return_stats.var == source.ret_rms.var
    source.obs_rms.mean += 1
    assert not np.array_equal(spec.obs_stats.mean, source.obs_rms.mean)


def test_statistics_by_key(tmp_path: Path) -> None:
    space = spaces.Dict({"a/b": VECTOR, "mean": VECTOR, "other": spaces.Discrete(3)})
    env = VecNormalize(venv(space, MOVE), norm_reward=False, norm_obs_keys=["a/b", "mean"])
    model = train(PPO, "MultiInputPolicy", env, policy_kwargs=SMALL)
    Agent.from_model(model, card=CARD).save(tmp_path / "a")
    spec = load(tmp_path / "a").normalization
    assert spec is not None and isinstance(spec.obs_stats, dict)
    assert list(spec.obs_stats) == ["a/b", "mean"]
    for key, stats in spec.obs_stats.items():
        assert np.array_equal(stats.mean, env.obs_rms[key].mean)  # pyright: ignore
    assert spec.return_stats is None


def test_impossible_statistics_are_refused() -> None:
    one = np.ones(2)
    with pytest.raises(BadArgument, match="NaN or inf"):
        RunningStats(mean=one * np.nan, var=one, count=1)
    with pytest.raises(BadArgument, match="shape"):
        RunningStats(mean=one, var=np.ones(3), count=1)
    with pytest.raises(BadArgument, match="at least 0"):
        RunningStats(mean=one, var=-one, count=1)
    with pytest.raises(BadArgument, match="clip_obs=0"):
        Normalization(obs=True, reward=True, clip_obs=0)
    with pytest.raises(BadArgument, match="one scalar"):
        stats = RunningStats(mean=one, var=one, count=1)
        Normalization(obs=True, reward=True, return_stats=stats)


# ---- spaces ----

SPACES: list[Any] = [
    spaces.Box(-1.0, 1.0, (3,), np.float32),
    spaces.Box(np.array([0.1, -np.inf], np.float32), np.array([np.inf, 0.3], np.float32)),
    spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
    spaces.Box(-0.0, 0.0, (2,), np.float16),
    spaces.Box(0, 255, (36, 36, 3), np.uint8),
    spaces.Box(0, 1, (3,), np.bool_),  # pyright: ignore
    spaces.Box(-np.inf, np.inf, (2,), np.int64),
    spaces.Box(np.array([-(2**63), 3]), np.array([2**63 - 2, 5]), dtype=np.int64),
    spaces.Box(0.0, 1.0, (), np.float32),
    spaces.Box(0.0, 1.0, (0, 3), np.float32),
    spaces.Box(
        np.random.default_rng(0).uniform(-2, 0, (4, 5)), np.full((4, 5), np.pi), dtype=np.float64
    ),
    spaces.Discrete(4),
    spaces.Discrete(3, start=-1),
    spaces.Discrete(3, dtype=np.int32),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete(
        np.array([[2, 3], [4, 5]]), dtype=np.int32, start=np.array([[1, 2], [3, -4]])
    ),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 3]),
    spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Box(0, 1, (2,))}),
    spaces.Dict([("b", spaces.Discrete(2)), ("a", spaces.Dict({"c": spaces.MultiBinary(2)}))]),
    spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Discrete(3)}, sort_keys=False),
    spaces.Tuple([spaces.Discrete(2), spaces.Tuple([spaces.Box(-1, 1, (1,))])]),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_spaces_round_trip_exactly(space: gym.Space) -> None:
    data = parse(render(space_data.encode(space)))
    back = space_data.decode(data)
    assert type(back) is type(space)
    assert back == space
    if isinstance(space, spaces.Dict):
        assert list(back.spaces) == list(space.spaces)  # pyright: ignore
    if isinstance(space, spaces.Box):
        assert isinstance(back, spaces.Box)
        # Box.__eq__ compares bounds by allclose; these are exact.
        assert back.low.tobytes() == space.low.tobytes()
        assert back.high.tobytes() == space.high.tobytes()
        assert np.array_equal(back.bounded_below, space.bounded_below)
        assert np.array_equal(back.bounded_above, space.bounded_above)
    space.seed(3)
    back.seed(3)
    assert str(back.sample()) == str(space.sample())


def test_image_bounds_are_compact() -> None:
    assert len(render(space_data.encode(spaces.Box(0, 255, (84, 84, 4), np.uint8)))) < 200


def test_other_spaces_are_refused() -> None:
    with pytest.raises(BadArgument, match="Text spaces cannot be stored"):
        space_data.encode(spaces.Text(4))
    with pytest.raises(BadArgument, match="low is inf"):
        space_data.encode(spaces.Box(np.inf, np.inf, (1,)))


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"type": "Sequence"},
        {"type": "Discrete"},
        {"type": "Discrete", "dtype": "int64", "n": 0, "start": 0},
        {"type": "Discrete", "dtype": "int64", "n": 2, "start": 0, "more": 1},
        {"type": "Discrete", "dtype": "object", "n": 2, "start": 0},
        {"type": "Discrete", "dtype": "int8", "n": 1000, "start": 0},
        {"type": "Box", "dtype": "float32", "shape": [2], "low": [0.0], "high": 1.0},
        {"type": "Box", "dtype": "float32", "shape": [2], "low": 1.0, "high": 0.0},
        {"type": "Box", "dtype": "float32", "shape": [2], "low": 0.1, "high": 1.0},
        {"type": "Box", "dtype": "float32", "shape": [2], "low": "x", "high": 1.0},
        {"type": "Box", "dtype": "int64", "shape": [1], "low": 0.5, "high": 1},
        {"type": "Box", "dtype": "uint8", "shape": [10**6, 10**6], "low": 0, "high": 1},
        {"type": "Box", "dtype": "uint8", "shape": [-1], "low": 0, "high": 1},
        {"type": "MultiDiscrete", "dtype": "int64", "shape": [2], "nvec": [2], "start": [0]},
        {"type": "MultiBinary", "n": [0]},
        {"type": "Dict", "sort_keys": True, "spaces": [["a"]]},
        {"type": "Tuple", "spaces": 3},
    ],
    ids=str,
)
def test_malformed_spaces_are_refused(data: Any) -> None:
    with pytest.raises(BadCheckpoint):
        space_data.decode(data)


def test_deeply_nested_space_is_refused() -> None:
    data: dict[str, Any] = space_data.encode(spaces.Discrete(2))
    for _ in range(40):
        data = {"type": "Tuple", "spaces": [data]}
    with pytest.raises(BadCheckpoint):
        space_data.decode(data)


# ---- hyperparameters and policy arguments ----


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (3e-4, 3e-4),
        (np.float64(3e-4), 3e-4),
        (FloatSchedule(ConstantSchedule(1e-3)), 1e-3),
        (LinearSchedule(1e-3, 1e-5, 0.5), {"start": 1e-3, "end": 1e-5, "end_fraction": 0.5}),
        (
            FloatSchedule(LinearSchedule(1e-3, 1e-5, 0.5)),
            {"start": 1e-3, "end": 1e-5, "end_fraction": 0.5},
        ),
    ],
)
def test_schedules_are_data(given: Any, stored: Any) -> None:
    model = PPO("MlpPolicy", venv(VECTOR, MOVE), learning_rate=given, clip_range=given, **_short())
    values = hyper.read(model)
    assert values["learning_rate"] == values["clip_range"] == stored
    live = hyper.arguments(values, "ppo")
    rebuilt = PPO("MlpPolicy", venv(VECTOR, MOVE), device="cpu", **live)
    for progress in (1.0, 0.7, 0.4, 0.0):
        assert rebuilt.lr_schedule(progress) == model.lr_schedule(progress)
        assert rebuilt.clip_range(progress) == model.clip_range(progress)  # pyright: ignore


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", {"start": 1.0}),
        ("learning_rate", {"start": 1.0, "end": 0.0, "end_fraction": 0.0}),
        ("n_steps", 0),
        ("n_steps", 2.5),
        ("n_steps", True),
        ("n_epochs", 10**12),
        ("gamma", 1.5),
        ("gamma", float("nan")),
        ("max_grad_norm", float("inf")),
        ("use_sde", 1),
        ("target_kl", "none"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(name: str, value: Any) -> None:
    good = dict(agent().hyperparameters)
    hyper.check(good)
    with pytest.raises(BadArgument, match=f"hyperparameter {name}="):
        hyper.check({**good, name: value})


def test_missing_and_unknown_hyperparameters_are_refused() -> None:
    good = dict(agent().hyperparameters)
    with pytest.raises(UnknownName, match="Did you mean 'n_steps'"):
        hyper.check({**good, "n_step": 3})
    del good["gamma"]
    with pytest.raises(BadArgument, match="gamma is missing"):
        hyper.check(good)


def test_policy_arguments_round_trip() -> None:
    value = {
        "net_arch": {"pi": [64, 64], "vf": []},
        "activation_fn": torch.nn.SiLU,
        "optimizer_class": torch.optim.AdamW,
        "optimizer_kwargs": {"betas": (0.9, 0.99), "eps": np.float32(0.5)},
        "features_extractor_class": Doubling,
        "features_extractor_kwargs": {"sizes": {1: "a", (2, 3): None}, "$tuple": True, "x": 1.5},
    }
    found: dict[str, type] = {}
    data = parse(render(named.encode(value, found)))
    assert found == {"agent_cases:Doubling": Doubling}
    named.check(data)
    back = named.decode(data, found)
    assert back == value
    assert type(back["optimizer_kwargs"]["betas"]) is tuple
    assert back["activation_fn"] is torch.nn.SiLU


@pytest.mark.parametrize("value", [lambda x: x, torch.zeros(2), float("inf"), {1, 2}, object()])
def test_policy_arguments_that_are_no_data_are_refused(value: Any) -> None:
    with pytest.raises(BadArgument, match=r"policy_kwargs\['a'\]\[0\] is .* cannot be stored"):
        named.encode({"a": [value]}, {})


@pytest.mark.parametrize(
    "data",
    [
        {"$class": 3},
        {"$class": "torch.nn.Tanh", "more": 1},
        {"$dict": [1]},
        {"$dict": [[[1], 2]]},
        {"$tuple": {}},
        {"$other": 1},
        torch.nn.Tanh,
    ],
)
def test_malformed_policy_arguments_are_refused(data: Any) -> None:
    with pytest.raises(BadCheckpoint):
        named.check({"a": data})


@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "torch.nn.Missing", "torch.hub"])
def test_names_are_never_imported(name: str) -> None:
    with pytest.raises(BadArgument, match="may not import"):
        named.decode({"$class": name}, {})


# ---- cards, names and the zoo ----

SCORE = Score(mean=9.5, ci_low=9.25, ci_high=9.75, episodes=100, deterministic=True, seed=4)


def test_card_is_kept_and_described(tmp_path: Path) -> None:
    card = Card(
        name="pole ✓",
        task="my_tasks:my/Pole-v0",
        steps=120_000,
        seed=7,
        score=SCORE,
        command="rltransfer pretrain my/Pole-v0 --steps 120000",
        versions={"torch": "2.13.0", "numpy": "2.4.6"},
        created="2026-11-24",
        notes='a "quoted" note\nof two lines',
        source="cartpole (sha256 0123)",
    )
    taken = Agent.from_model(CASES["normalized"](), card=card)
    assert taken.save(tmp_path / "a.safetensors") == tmp_path / "a.json"
    read = load(tmp_path / "a.json")
    assert read.card == card
    text = read.describe()
    assert str(read) == text
    assert repr(read) == "Agent('pole ✓', ppo, MlpPolicy, on my_tasks:my/Pole-v0)"
    for fact in ("pole ✓", "my_tasks:my/Pole-v0", "120,000 steps, seed 7", "9.5 (95% interval"):
        assert fact in text
    for fact in (
        card.command,
        "torch 2.13.0",
        card.source,
        read.sha256,
        "observations and rewards",
    ):
        assert fact in text


def test_with_card_changes_the_card_alone() -> None:
    taken = agent()
    changed = taken.with_card(score=SCORE, notes="better")
    assert changed.card.score == SCORE and changed.card.notes == "better"
    assert changed.card.task == taken.card.task and taken.card.score is None
    assert changed.weights is taken.weights
    with pytest.raises(UnknownName, match="Did you mean 'notes'"):
        taken.with_card(note="x")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Card, {"name": ""}),
        (Card, {"steps": -1}),
        (Score, {"episodes": 0}),
        (Score, {"mean": 10.0}),
        (Score, {"ci_low": float("nan")}),
        (Card, {"name": 5}),
        (Card, {"notes": None}),
        (Card, {"versions": {"torch": 2}}),
        (Card, {"versions": {1: "a"}}),
        (Card, {"versions": None}),
        (Card, {"scores": {1: SCORE}}),
        (Card, {"score": 500.0}),
        (Card, {"steps": 3.0}),
        (Card, {"seed": True}),
        (Score, {"ci_high": float("inf")}),
        (Score, {"episodes": 2.0}),
        (Score, {"deterministic": 1}),
        (Score, {"seed": 0.5}),
    ],
)
def test_impossible_cards_are_refused(kind: type, change: dict[str, Any]) -> None:
    with pytest.raises(BadArgument):
        dataclasses.replace(CARD if kind is Card else SCORE, **change)


def test_numbers_of_numpy_are_saved_as_plain_ones(tmp_path: Path) -> None:
    score = dataclasses.replace(
        SCORE, mean=np.float32(9.5), episodes=np.int64(7), deterministic=np.True_
    )
    given = agent().with_card(steps=np.int64(3), seed=np.uint8(1), score=score)
    given.save(tmp_path / "a")
    card = load(tmp_path / "a").card
    assert (card.steps, card.seed, card.score) == (3, 1, dataclasses.replace(SCORE, episodes=7))


def test_paths_with_and_without_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = agent()
    taken.save(tmp_path / "ppo.v2")
    assert {path.name for path in tmp_path.iterdir()} == {"ppo.v2.safetensors", "ppo.v2.json"}
    for name in ("ppo.v2", "ppo.v2.json", "ppo.v2.safetensors"):
        assert load(tmp_path / name).sha256 == taken.sha256
        assert load(str(tmp_path / name)).sha256 == taken.sha256
    monkeypatch.chdir(tmp_path)
    assert load("ppo.v2").sha256 == taken.sha256
    assert load("./ppo.v2").sha256 == taken.sha256


@pytest.fixture
def small_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one agent, in the place where the package keeps its own."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    agent().with_card(name="sampled", score=SCORE).save(folder / "sampled")
    (folder / "readme.txt").write_text("not an agent")
    (folder / "index.json").write_text('{"not": "an agent"}')
    monkeypatch.setattr(zoo, "files", lambda package: {"rltransfer_zoo": folder}[package])
    return folder


def test_zoo_is_read_by_name(small_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: card.score for name, card in agents().items()} == {"sampled": SCORE}
    assert load("sampled").card.name == "sampled"
    with pytest.raises(UnknownName, match="Did you mean 'sampled'"):
        load("sampld")
    # The zoo has precedence over the current folder, a path does not ask the zoo.
    here = small_zoo.parent
    agent().with_card(name="mine").save(here / "sampled")
    monkeypatch.chdir(here)
    assert load("sampled").card.name == "sampled"
    assert load("./sampled").card.name == "mine"


def test_corrupt_agent_in_the_zoo_is_not_passed_over(small_zoo: Path) -> None:
    path = small_zoo / "sampled.json"
    path.write_text(path.read_text().replace('"steps": 32', '"steps": 33'))
    with pytest.raises(BadCheckpoint, match=r"sampled\.json"):
        agents()


def test_agent_with_a_missing_file_in_the_zoo_is_reported(small_zoo: Path) -> None:
    (small_zoo / "sampled.safetensors").rename(small_zoo / "other.safetensors")
    with pytest.raises(BadCheckpoint, match=r"sampled\.safetensors is missing"):
        load("sampled")
    with pytest.raises(BadCheckpoint, match=r"other\.json is missing"):
        load("other")


def test_shipped_zoo_is_sound() -> None:
    for name, card in agents().items():
        read = load(name)
        assert read.card == card and (card.score or card.scores) and card.command
        alone = [read.for_task(id) for id in read.tasks] if read.multitask else [read]
        for one in alone:
            assert all(np.isfinite(part).all() for part in predictions(one.build()))


@pytest.mark.parametrize("options", [{"task": "a"}, {"normalization": False}, {"strict": True}])
def test_options_of_zips_are_refused_elsewhere(options: dict[str, Any], tmp_path: Path) -> None:
    agent().save(tmp_path / "a")
    name = next(iter(options))
    with pytest.raises(BadArgument, match=f"is no zip of Stable-Baselines3.*{name}"):
        load(tmp_path / "a", **options)
    with pytest.raises(BadArgument, match="only for agents of the Hub"):
        load(tmp_path / "a", lock="lock.json")


def test_bad_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadCheckpoint, match="no agent at"):
        load(tmp_path / "nothing")
    with pytest.raises(BadArgument, match="expected a name or a path"):
        load(3)  # pyright: ignore[reportArgumentType]
    (tmp_path / "best.zip").write_bytes(b"PK")
    monkeypatch.chdir(tmp_path)
    # As SB3 does, the suffix may be left out.
    for name in ("best.zip", "best", tmp_path / "best", "nothing.zip"):
        with pytest.raises(BadCheckpoint, match=r"(best|nothing)\.zip: "):
            load(name)
    with pytest.raises(BadArgument, match="to_sb3"):
        agent().save(tmp_path / "a.zip")
    for nameless in ("", "/", "."):
        with pytest.raises(BadArgument, match="names no file"):
            agent().save(nameless)


def _short() -> dict[str, Any]:
    return {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "device": "cpu"}
