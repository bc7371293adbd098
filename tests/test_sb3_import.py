"""Reading zips of Stable-Baselines3: what is believed, what is refused, and what is said."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
import torch
from agent_cases import (
    CASES,
    MOVE,
    OWN,
    PRESS,
    SMALL,
    VECTOR,
    assert_same_predictions,
    train,
    venv,
)
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_files import REMOVED, data_of, members, pickled, with_data, with_tensors, write
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common import utils
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

import rltransfer as rlt
from rltransfer.agents.inert import Call, Global, Mapping
from rltransfer.agents.sb3 import Report
from rltransfer.agents.sb3.functions import function as read_function
from rltransfer.agents.sb3.report import HOWS
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName

SHARED = Path(__file__).parents[2] / "shared" / "agents"
WEIGHTS, MOMENTS = "policy.pth", "policy.optimizer.pth"


class OwnPolicy(ActorCriticPolicy):
    """A policy of the user."""


class OwnMaskablePolicy(MaskableActorCriticPolicy):
    """Another one, of another algorithm."""


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zips")
    for case in ("box", "discrete", "maskable", "own extractor", "image"):
        CASES[case]().save(folder / f"{case}.zip")
    return folder


@pytest.fixture
def box(zips: Path, tmp_path: Path) -> Path:
    """A file to change: an agent with continuous actions."""
    return write(tmp_path / "box.zip", members(zips / "box.zip"))


@pytest.fixture
def discrete(zips: Path, tmp_path: Path) -> Path:
    return write(tmp_path / "discrete.zip", members(zips / "discrete.zip"))


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        rlt.read_sb3(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


def how(report: Report, name: str) -> str:
    (found,) = [part.how for part in report.fields if part.name == name]
    return found


def shown(report: Report, name: str) -> str:
    (found,) = [part.value for part in report.fields if part.name == name]
    return found


# What is said.


@pytest.mark.skipif(not SHARED.exists(), reason="the public agents are not here")
@pytest.mark.parametrize(
    ("name", "task", "version", "normalizes"),
    [
        ("CartPole-v1", "CartPole-v1", "1.0rc0", False),
        ("MountainCar-v0", "MountainCar-v0", "1.0rc0", True),
        ("LunarLander-v2", "LunarLander-v3", "1.0rc0", False),
        ("HalfCheetah-v3", "HalfCheetah-v5", "1.3.1a2", True),
    ],
)
def test_public_agents(name: str, task: str, version: str, normalizes: bool) -> None:
    found = rlt.read_sb3(SHARED / name / f"{name}.zip", strict=True)
    agent, report = found.agent, found.report
    assert agent.card.task == task and report.version == version and not report.lost
    assert (agent.normalization is not None) == normalizes
    assert agent.optimizer is not None and agent.card.steps >= 100_000
    assert (name in agent.card.notes.partition("\n")[2]) == (name != task)
    space = agent.observation_space
    action, _ = agent.build().predict(np.zeros_like(space.sample()), deterministic=True)
    assert agent.action_space.contains(action.astype(agent.action_space.dtype))


def test_report_is_a_table(discrete: Path) -> None:
    report = rlt.read_sb3(discrete).report
    text = str(report)
    head, seal, _, titles, *rows = text.splitlines()
    assert head == f"{discrete}: PPO, saved by Stable-Baselines3 2.9.2"
    assert seal == f"sha256 {report.sha256}"
    assert titles.split() == ["field", "value", "read", "from"]
    # The columns stand below each other.
    starts = {row.rindex(part.how) for row, part in zip(rows, report.fields, strict=False)}
    assert starts == {titles.index("read from")}
    assert shown(report, "learning_rate") == "linear, 0.001 to 0.0001 after 0.5 of training"
    assert how(report, "learning_rate") == "inert pickle" and how(report, "gamma") == "plain"
    assert how(report, "weights") == "tensors" and shown(report, "policy") == "MlpPolicy"
    assert "net_arch=pi=[8], vf=[9, 7]" in shown(report, "policy_kwargs")
    assert max(map(len, text.splitlines())) <= 200


def test_long_values_are_wrapped_and_words_explained(tmp_path: Path) -> None:
    kwargs = {"net_arch": {"pi": [11] * 30, "vf": [7] * 30}}
    model = train(PPO, "MlpPolicy", venv(VECTOR, PRESS), policy_kwargs=kwargs)
    model.save(tmp_path / "a.zip")
    report = rlt.read_sb3(tmp_path / "a.zip").report
    text = str(report)
    shown = re.sub(r"inert pickle|plain|\s", "", text)
    assert f"pi=[{','.join(['11'] * 30)}],vf=[{','.join(['7'] * 30)}]" in shown
    assert max(map(len, text.splitlines())) <= 150
    for word in {part.how for part in report.fields}:
        assert f"\n{word}: {HOWS[word]}\n" in text + "\n"
    assert "from you" not in text


def test_card_says_where_it_is_from(discrete: Path) -> None:
    found = rlt.read_sb3(discrete)
    card = found.agent.card
    assert card.name == "discrete" and card.steps == 32 and card.seed == 3
    assert card.versions["stable-baselines3"] == "2.9.2"
    assert card.versions["torch"] == torch.__version__ and card.versions["python"]
    assert found.report.sha256 in card.notes and "discrete.zip" in card.notes
    assert card.created.startswith("20") and str(discrete.parent) not in card.notes


def test_nothing_that_a_terminal_obeys_is_printed(discrete: Path) -> None:
    with_data(discrete, **{"\x1b[2Jgone\nnew line": 1})
    report = rlt.read_sb3(discrete).report
    assert "\x1b" not in str(report) and "[2Jgone new line" in str(report)


# What is believed.


def test_plain_json_overwrites_nothing(discrete: Path) -> None:
    """``PPO.load`` puts every entry into the object: a method, a folder, an attribute."""
    before = rlt.load(discrete)
    with_data(discrete, predict="pwned", tensorboard_log="/tmp/elsewhere", device="cuda", verbose=2)
    found = rlt.read_sb3(discrete)
    model = found.agent.build()
    assert model.tensorboard_log is None and model.verbose == 0 and model.device.type == "cpu"
    assert_same_predictions(before.build(), model)
    assert any("device, predict" in note for note in found.report.notes) or any(
        "predict, device" in note for note in found.report.notes
    )


def test_foreign_names_are_listed_and_not_imported(discrete: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "boom"),)

    with_data(discrete, extra=pickled(Bomb()), _last_obs=pickled([Bomb()]))
    found = rlt.read_sb3(discrete)
    assert found.report.foreign == ("posix.mkdir",)
    assert "unknown names, not imported: posix.mkdir" in str(found.report)
    found.agent.build()
    assert "strict" in refused(discrete, strict=True)
    for needed in ("observation_space", "learning_rate", "policy_kwargs", "policy_class"):
        path = write(tmp_path / "needed.zip", members(discrete))
        with_data(path, **{needed: pickled(Bomb())})
        if needed == "learning_rate":
            assert rlt.read_sb3(path).report.lost == ("learning_rate",)
        else:
            refused(path)
    assert not (tmp_path / "boom").exists()


def test_pickles_that_nobody_needs_may_be_broken(discrete: Path) -> None:
    with_data(discrete, ep_info_buffer={":type:": "x", ":serialized:": "gASV"})
    assert rlt.read_sb3(discrete).report.foreign == ("unreadable pickle in ep_info_buffer",)
    assert "ep_info_buffer" in refused(discrete, strict=True)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("observation_space", {"_shape": [4]}),
        ("observation_space", {"dtype": "float64"}),
        ("observation_space", {"high": "[2. 2. 2. 2. 3.]"}),
        ("action_space", {"n": "2"}),
        ("policy_kwargs", {"activation_fn": "<class 'torch.nn.modules.activation.Tanh'>"}),
        ("policy_kwargs", {"net_arch": {"pi": [8], "vf": [9, 6]}}),
        ("learning_rate", {"start": 0.5}),
    ],
)
def test_pickle_and_text_must_agree(discrete: Path, key: str, changes: dict[str, Any]) -> None:
    with_data(discrete, **{key: {**data_of(discrete)[key], **changes}})
    assert f"disagree about {next(iter(changes))}" in refused(discrete)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"n_steps": 16.5}, "hyperparameter n_steps"),
        ({"gamma": 1.5}, "hyperparameters={...}"),
        ({"n_epochs": 10**12}, "n_epochs"),
        ({"n_epochs": True}, "n_epochs"),
        ({"learning_rate": {"start": 1, "end": 0, "end_fraction": 1}}, "expected a number"),
        ({"clip_range": "0.2"}, "clip_range is a str"),
        ({"num_timesteps": -1}, "num_timesteps is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"policy_class": "MlpPolicy"}, "which policy"),
        ({"observation_space": REMOVED}, "no observation_space"),
        ({"action_space": pickled(spaces.Discrete(4), n="4")}, "action_net.weight is float32[3"),
        ({"action_space": pickled(spaces.Tuple([PRESS]))}, "gives actions"),
        ({"observation_space": pickled(spaces.Box(-1, 1, (6,)))}, "float32[8, 6]"),
        ({"observation_space": pickled(spaces.Tuple([VECTOR]))}, "takes observations"),
        ({"observation_space": pickled(spaces.Dict({"a": VECTOR}))}, "no MlpPolicy takes"),
        ({"observation_space": pickled(spaces.Text(3))}, "gymnasium.spaces.text.Text"),
        ({"policy_kwargs": {"net_arch": [8, 9]}}, "lack mlp_extractor.policy_net.2.weight"),
        ({"policy_kwargs": {"net_arch": [10**7]}}, "expected widths"),
        ({"policy_kwargs": {"net_arch": [-1]}}, "expected widths"),
        ({"policy_kwargs": {"activation_fn": {"$class": "torch.nn.ReLU"}}}, "activation"),
        ({"policy_kwargs": {"predict": 1}}, "'predict'"),
        ({"policy_kwargs": {"log_std_init": float("nan")}}, "finite"),
        ({"policy_kwargs": pickled({"activation_fn": torch.optim.Adam})}, "an activation"),
        ({"policy_kwargs": pickled({"optimizer_class": torch.nn.Linear})}, "an optimizer"),
        ({"use_sde": True}, "gSDE"),
    ],
)
def test_values_are_checked(discrete: Path, entries: dict[str, Any], words: str) -> None:
    with_data(discrete, **entries)
    assert words in refused(discrete)


def test_weights_are_checked(box: Path, zips: Path, tmp_path: Path) -> None:
    def copy() -> Path:
        return write(tmp_path / "copy.zip", members(zips / "box.zip"))

    name = "mlp_extractor.policy_net.0.weight"
    edits: dict[str, Any] = {
        f"lack {name}": lambda w: {k: v for k, v in w.items() if k != name},
        "NaN": lambda w: {**w, name: w[name] * float("nan")},
        "float64": lambda w: {**w, name: w[name].double()},
        "have own.weight": lambda w: {**w, "own.weight": torch.zeros(1)},
        "is no array": lambda w: {**w, "own.weight": "text"},
        "arrays by name": lambda w: list(w.values()),
    }
    for words, edit in edits.items():
        assert words in refused(with_tensors(copy(), WEIGHTS, edit))
    moments = with_tensors(copy(), MOMENTS, _negative)
    assert "exp_avg_sq is negative" in refused(moments)
    lacking = {k: v for k, v in members(copy()).items() if k != WEIGHTS}
    assert "no 'policy.pth'" in refused(write(copy(), lacking))
    image = write(tmp_path / "image.zip", members(zips / "image.zip"))
    alias = "vf_features_extractor.cnn.0.bias"
    with_tensors(image, WEIGHTS, lambda w: {**w, alias: w[alias] + 1})
    assert f"{alias} differs from another name" in refused(image)


def _negative(stored: dict[str, Any]) -> dict[str, Any]:
    stored["state"][0]["exp_avg_sq"] -= 1
    return stored


def test_optimizer_state_that_does_not_fit_is_dropped_and_said(box: Path) -> None:
    def without_last(stored: dict[str, Any]) -> dict[str, Any]:
        stored["param_groups"][0]["params"].pop()
        return {**stored, "state": {k: v for k, v in stored["state"].items() if k < 3}}

    found = rlt.read_sb3(with_tensors(box, MOMENTS, without_last))
    assert found.agent.optimizer is None and shown(found.report, "optimizer") == "dropped"
    assert any("optimizer was dropped" in note for note in found.report.notes)
    without = {k: v for k, v in members(box).items() if k != MOMENTS}
    found = rlt.read_sb3(write(box, without))
    assert found.agent.optimizer is None and shown(found.report, "optimizer") == "none"


@pytest.mark.parametrize("kind", [DQN, SAC])
def test_other_algorithms_are_refused_by_name(kind: Any, tmp_path: Path) -> None:
    actions = PRESS if kind is DQN else MOVE
    small = {"buffer_size": 10, "policy_kwargs": {"net_arch": [4]}}
    kind("MlpPolicy", venv(VECTOR, actions), **small).save(tmp_path / "a.zip")
    words = refused(tmp_path / "a.zip")
    assert f"an agent of {kind.__name__}" in words and "PPO, A2C, TRPO" in words
    assert "`rltransfer pretrain`" in words


def test_files_of_another_kind(tmp_path: Path, discrete: Path) -> None:
    words = refused(tmp_path / "none.zip")
    assert words.startswith("cannot be read: no such file") and "there is discrete.zip" in words
    (tmp_path / "empty").mkdir()
    assert "no zip is in that folder" in refused(tmp_path / "empty" / "none.zip")
    (tmp_path / "text.zip").write_text("hello")
    (tmp_path / "half.zip").write_bytes(discrete.read_bytes()[:-100])
    for name in ("text.zip", "half.zip"):
        assert "if it was copied or downloaded, do so again" in refused(tmp_path / name)
    assert "the zip holds a, b, expected 'data'" in refused(
        write(tmp_path / "other.zip", {"a": b"1", "b": b"2"})
    )
    for version, words in (("0.10.0", "1.0 to 2.9"), ("3.0.0", "1.0 to 2.9"), ("x", "which")):
        content = {**members(discrete), "_stable_baselines3_version": version.encode()}
        assert words in refused(write(tmp_path / "old.zip", content))
    found = rlt.read_sb3(write(tmp_path / "more.zip", {**members(discrete), "readme": b"hi"}))
    assert any(note.endswith("were not read: readme") for note in found.report.notes)


# Schedules.


def constant_fn(val: float) -> Any:
    """Of SB3 before 2.7, as are the next two."""

    def func(_: float) -> float:
        return val

    return func


def get_linear_fn(start: float, end: float, end_fraction: float) -> Any:
    # The branches are those of SB3: the byte code is compared.
    def func(progress_remaining: float) -> float:
        if (1 - progress_remaining) > end_fraction:
            return end
        else:
            return start + (1 - progress_remaining) * (end - start) / end_fraction

    return func


def get_schedule_fn(value_schedule: Any) -> Any:
    return lambda progress_remaining: float(value_schedule(progress_remaining))


def linear_schedule(initial_value: float) -> Any:
    """Of the RL Zoo."""

    def func(progress_remaining: float) -> float:
        """Progress will decrease from 1 (beginning) to 0."""
        return progress_remaining * initial_value

    return func


def test_known_functions_are_read_and_not_run(discrete: Path) -> None:
    line = {"start": 0.002, "end": 0.0, "end_fraction": 1.0}
    between = {"start": 0.1, "end": 0.01, "end_fraction": 0.5}
    for function, value in (
        (constant_fn(0.003), 0.003),
        (linear_schedule(0.002), line),
        (get_schedule_fn(linear_schedule(0.002)), line),
        (get_schedule_fn(constant_fn(0.003)), 0.003),
        (get_linear_fn(0.1, 0.01, 0.5), between),
        (np.float64(0.004), 0.004),
        (utils.FloatSchedule(utils.LinearSchedule(0.1, 0.01, 0.5)), between),
    ):
        with_data(discrete, learning_rate=pickled(function))
        found = rlt.read_sb3(discrete)
        assert found.agent.hyperparameters["learning_rate"] == value
        assert how(found.report, "learning_rate") == "inert pickle"
        assert not found.report.foreign


CLOSURES = Path(__file__).parent / "data" / "closures"


@pytest.mark.parametrize("path", sorted(CLOSURES.glob("*.json")), ids=lambda path: path.stem)
def test_functions_of_every_python_are_told_apart(path: Path) -> None:
    """By what each interpreter itself compiles: see make.py beside the files."""
    known = {"constant": 1, "linear": 1, "between": 3, "float": 1}
    compiled = json.loads(path.read_text())
    assert set(known) < set(compiled) and len(compiled) == 8
    for name, arguments in compiled.items():
        cells = tuple(Call(Global("cloudpickle.cloudpickle", "_make_cell"), (i,)) for i in range(3))
        code = Call(_type("CodeType"), tuple(map(_as_pickled, arguments)))
        closure = cells[: known.get(name, 3 if name == "other-number" else 1)]
        record = Call(_type("LambdaType"), (code, Mapping([]), "func", None, closure))
        found = read_function(record)
        assert found is not None and found.shape == (name if name in known else ""), name
        assert found.closure == (tuple(range(len(closure))) if name in known else ())
        # One value too many is another function, whatever its code.
        record.args = (*record.args[:4], (*closure, cells[0]))
        found = read_function(record)
        assert found is not None and not found.shape


def _type(name: str) -> Call:
    return Call(Global("cloudpickle.cloudpickle", "_builtin_type"), (name,))


def _as_pickled(value: Any) -> Any:
    """Tuples and byte code, which JSON does not have."""
    if isinstance(value, list):
        return tuple(value)
    is_code = isinstance(value, str) and re.fullmatch("([0-9a-f]{2}){4,}", value)
    return bytes.fromhex(value) if is_code else value


def test_other_functions_are_replaced_and_said(discrete: Path) -> None:
    def plus(initial_value: float) -> Any:
        return lambda progress_remaining: progress_remaining + initial_value

    def hidden(value_schedule: Any) -> Any:
        return lambda progress_remaining: abs(value_schedule(progress_remaining))

    def twice(initial_value: float) -> Any:
        return lambda progress_remaining, other=2: progress_remaining * initial_value

    (rate,) = {group["lr"] for group in _groups(discrete)}
    for function in (plus(0.1), hidden(constant_fn(0.1)), lambda _: 0.1, twice(0.1), len):
        with_data(discrete, learning_rate=pickled(function), clip_range=pickled(function))
        found = rlt.read_sb3(discrete)
        assert found.report.lost == ("learning_rate", "clip_range")
        values = found.agent.hyperparameters
        assert (values["learning_rate"], values["clip_range"]) == (rate, 0.2)
        assert "--set clip_range=..." in found.agent.card.notes
        assert "learning_rate, a function" in refused(discrete, strict=True)
    given = {"learning_rate": 0.5, "clip_range": {"start": 1.0, "end": 0.1, "end_fraction": 1.0}}
    found = rlt.read_sb3(discrete, hyperparameters=given)
    assert not found.report.lost and how(found.report, "clip_range") == "given"
    assert found.agent.arguments()["clip_range"](0.0) == pytest.approx(0.1)


def _groups(path: Path) -> list[dict[str, Any]]:
    import io

    return torch.load(io.BytesIO(members(path)[MOMENTS]), weights_only=True)["param_groups"]


def test_a_learning_rate_of_nearly_nothing_is_no_substitute(discrete: Path) -> None:
    def ended(stored: dict[str, Any]) -> dict[str, Any]:
        stored["param_groups"][0]["lr"] = -1e-9
        return stored

    with_tensors(discrete, MOMENTS, ended)
    with_data(discrete, learning_rate=pickled(lambda progress: progress**2))
    assert rlt.load(discrete).hyperparameters["learning_rate"] == 3e-4


def test_hyperparameters_of_the_user_are_checked(discrete: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'gamma'"):
        rlt.load(discrete, hyperparameters={"gama": 0.9})
    with pytest.raises(BadArgument, match="gamma=2"):
        rlt.load(discrete, hyperparameters={"gamma": 2})
    with pytest.raises(BadArgument, match=r'such as {"start": 3e-4, "end": 0\.0'):
        rlt.load(discrete, hyperparameters={"learning_rate": {"start": 1e-3, "end": 0.0}})
    with pytest.raises(BadArgument, match=r"LinearSchedule\(start, end, end_fraction\)"):
        rlt.load(discrete, hyperparameters={"learning_rate": lambda progress: 0.1})


def test_schedules_of_sb3_can_be_given(discrete: Path) -> None:
    for given in (
        utils.LinearSchedule(0.1, 0.01, 0.5),
        utils.FloatSchedule(utils.LinearSchedule(0.1, 0.01, 0.5)),
    ):
        agent = rlt.load(discrete, hyperparameters={"learning_rate": given})
        expected = {"start": 0.1, "end": 0.01, "end_fraction": 0.5}
        assert agent.hyperparameters["learning_rate"] == expected


# Classes of the user.


def test_class_by_reference_is_asked_for(zips: Path) -> None:
    found = rlt.read_sb3(zips / "own extractor.zip")
    assert found.report.foreign == ("agent_cases.Doubling",)
    assert "classes={'agent_cases:Doubling': TheClass}" in str(found.report.notes)
    assert found.agent.weights["features_extractor.linear.weight"].shape == (4, 5)
    assert found.agent.optimizer is not None
    with pytest.raises(BadArgument, match=r"classes=\{'agent_cases:Doubling': TheClass\}"):
        found.agent.build()
    plain = PPO.load(zips / "own extractor.zip", device="cpu")
    assert_same_predictions(plain, found.agent.build(classes=OWN))
    assert_same_predictions(plain, rlt.load(zips / "own extractor.zip", OWN).build())


def _by_value(model: Any, path: Path) -> Path:
    """Save a model as a script or notebook does, whose classes nobody can import."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        model.save(path)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    return path


@pytest.mark.parametrize(
    ("kind", "policy", "algorithm"),
    [(PPO, OwnPolicy, "ppo"), (MaskablePPO, OwnMaskablePolicy, "maskable_ppo")],
)
@pytest.mark.parametrize("by_value", [True, False])
def test_policy_of_the_user(
    kind: Any, policy: Any, algorithm: str, by_value: bool, tmp_path: Path
) -> None:
    model = train(kind, policy, venv(VECTOR, PRESS), policy_kwargs=SMALL)
    path = tmp_path / "own.zip"
    _by_value(model, path) if by_value else model.save(path)
    name = f"{__name__}:{policy.__name__}"
    found = rlt.read_sb3(path)
    assert (found.agent.algorithm, found.agent.policy) == (algorithm, name)
    assert found.agent.optimizer is not None and name in str(found.report.notes)
    with pytest.raises(BadArgument, match=name):
        found.agent.build()
    for classes in ({name: policy}, {policy.__name__: policy}):
        assert_same_predictions(model, rlt.load(path, classes).build())


class Own(BaseFeaturesExtractor):
    """An extractor with everything that classes by value are made of."""

    scale: list[int] | None = None

    def __init__(self, space: gym.spaces.Box, features: int = 4) -> None:
        super().__init__(space, features)
        self.linear = torch.nn.Linear(space.shape[0], features)

    @property
    def wide(self) -> bool:
        return self.features_dim > 4

    @classmethod
    def made(cls, space: Any) -> Any:
        return cls(space)

    @staticmethod
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.twice(self.linear(x))


# Annotations as they are where nothing postpones them.
for method in (Own.__init__, Own.made.__func__, Own.twice, Own.forward):
    method.__annotations__ |= {
        **{"x": torch.Tensor, "space": gym.Space, "a": list[int], "b": str | None},
        **{"c": Callable[[float], float], "d": dict[str, Any] | None},
    }


def _with_own_classes(path: Path) -> Any:
    kwargs = {**SMALL, "features_extractor_class": Own}
    model = train(PPO, OwnPolicy, venv(VECTOR, PRESS), policy_kwargs=kwargs)
    _by_value(model, path)
    return model


def test_given_classes_by_value_are_not_foreign(tmp_path: Path) -> None:
    path = tmp_path / "own.zip"
    model = _with_own_classes(path)
    # They are what is unknown, and not what they are made of.
    names = (f"{__name__}.Own", f"{__name__}.OwnPolicy")
    assert rlt.read_sb3(path).report.foreign == names
    assert f"{__name__}.Own" in refused(path, strict=True)
    half = {"OwnPolicy": OwnPolicy}
    assert rlt.read_sb3(path, classes=half).report.foreign == names[:1]
    both = {"OwnPolicy": OwnPolicy, f"{__name__}:Own": Own}
    found = rlt.read_sb3(path, classes=both, strict=True)
    assert not found.report.foreign
    assert_same_predictions(model, found.agent.build())


def test_given_classes_by_reference_are_not_foreign(zips: Path) -> None:
    path = zips / "own extractor.zip"
    assert not rlt.read_sb3(path, classes=OWN, strict=True).report.foreign
    assert "agent_cases.Doubling" in refused(path, strict=True, classes={"Other": OwnPolicy})


def test_strict_knows_the_parts_of_classes_in_classes_alone(tmp_path: Path) -> None:
    """Not in what is no class, and nothing else within a class."""
    path = tmp_path / "own.zip"
    _with_own_classes(path)
    both = {"OwnPolicy": OwnPolicy, "Own": Own}
    names = [type, property, BaseFeaturesExtractor, Own]
    with_data(path, _last_obs=pickled(names))
    assert set(rlt.read_sb3(path, classes=both).report.foreign) >= {
        "builtins.type",
        "builtins.property",
        "stable_baselines3.common.torch_layers.BaseFeaturesExtractor",
    }
    _with_own_classes(path)
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        Own.run = os.system  # pyright: ignore
        with_data(path, policy_kwargs=pickled({"features_extractor_class": Own}))
    finally:
        del Own.run  # pyright: ignore
        cloudpickle.unregister_pickle_by_value(module)
    assert rlt.read_sb3(path, classes=both).report.foreign == ("posix.system",)
    assert "posix.system" in refused(path, strict=True, classes=both)
    # Its last part alone makes no name a class of the user.
    both["system"] = Own
    assert "posix.system" in refused(path, strict=True, classes=both)


@pytest.mark.parametrize("classes", [[OwnPolicy], {"OwnPolicy": "OwnPolicy"}, {1: OwnPolicy}])
def test_classes_are_given_by_name(classes: Any, discrete: Path) -> None:
    for read in (rlt.read_sb3, rlt.load):
        with pytest.raises(BadArgument, match=r"classes.*expected") as caught:
            read(discrete, classes=classes)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadArgument, match=r"classes.*expected"):
        rlt.load("cartpole", classes=classes)


def test_the_class_tells_the_algorithm(tmp_path: Path) -> None:
    """Nothing else in the file says it: the buffer is the user's own as well."""
    model = train(MaskablePPO, OwnMaskablePolicy, venv(VECTOR, PRESS), policy_kwargs=SMALL)
    model.save(tmp_path / "own.zip")
    path = with_data(tmp_path / "own.zip", rollout_buffer_class=None)
    assert rlt.read_sb3(path).report.algorithm == "PPO"
    found = rlt.read_sb3(path, classes={"OwnMaskablePolicy": OwnMaskablePolicy})
    assert found.report.algorithm == "MaskablePPO"
    assert_same_predictions(model, found.agent.build())


def test_activation_of_the_user(tmp_path: Path) -> None:
    kwargs = {**SMALL, "activation_fn": Squared}
    model = train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=kwargs)
    path = _by_value(model, tmp_path / "own.zip")
    agent = rlt.load(path)
    assert agent.policy_kwargs["activation_fn"] == {"$class": f"{__name__}:Squared"}
    assert "mlp_extractor.policy_net.1.scale" in agent.weights
    assert_same_predictions(model, agent.build(classes={"Squared": Squared}))


class Squared(torch.nn.Module):
    """An activation with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x**2


def test_tuples_are_lists_in_net_arch(tmp_path: Path) -> None:
    kwargs = {"net_arch": {"pi": (8,), "vf": (7, 6)}, "activation_fn": torch.nn.PReLU}
    model = train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=kwargs)
    model.save(tmp_path / "a.zip")
    agent = rlt.load(tmp_path / "a.zip")
    assert agent.policy_kwargs["net_arch"] == {"pi": [8], "vf": [7, 6]}
    assert_same_predictions(model, agent.build())


def test_spaces_of_gym_are_those_of_gymnasium(box: Path) -> None:
    """Gym's spaces have other module names, and an older layout of the same attributes."""
    space = spaces.Box(-2.0, 2.0, (5,), np.float32)
    entry = pickled(space)
    import base64

    content = base64.b64decode(entry[":serialized:"])
    renamed = content.replace(b"gymnasium.spaces.box", b"gym.spaces.box", 1)
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(_framed(renamed, content))
    entry[":serialized:"] = base64.b64encode(_framed(renamed, content)).decode()
    found = rlt.read_sb3(with_data(box, observation_space=entry))
    assert found.agent.observation_space == space and not found.report.foreign
    assert isinstance(found.agent.observation_space, gym.spaces.Box)


def _framed(renamed: bytes, content: bytes) -> bytes:
    """Adjust the length of the name, and of the frame, to the shorter name."""
    assert content[2:3] == b"\x95" and content[11:12] == b"\x8c"
    shorter = len(content) - len(renamed)
    frame = int.from_bytes(content[3:11], "little") - shorter
    return (
        renamed[:3]
        + frame.to_bytes(8, "little")
        + b"\x8c"
        + bytes([content[12] - shorter])
        + renamed[13:]
    )


def test_read_again_from_our_own_format(discrete: Path, tmp_path: Path) -> None:
    agent = rlt.load(discrete)
    agent.save(tmp_path / "own")
    again = rlt.load(tmp_path / "own")
    assert again.sha256 == agent.sha256 and again.card == agent.card
    assert json.loads((tmp_path / "own.json").read_text())["card"]["notes"] == agent.card.notes
    assert_same_predictions(agent.build(), again.build())
    # And back: the zip that we write is read like any other.
    back = rlt.read_sb3(again.to_sb3(tmp_path / "back"), strict=True).agent
    assert_same_predictions(agent.build(), back.build())
