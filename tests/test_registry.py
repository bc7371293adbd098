from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import rltransfer_envs  # noqa: F401  registers the built-in tasks
from rltransfer import registry
from rltransfer.errors import (
    BadArgument,
    BadEnvironment,
    MissingExtra,
    RegistrationConflict,
    UnknownName,
)
from rltransfer.registry import Pair, Task

PAIR = {"shift": "dynamics", "expect": "help", "why": "because", "steps": 10}


@pytest.fixture(autouse=True)
def _registered_by_tests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    monkeypatch.setattr(registry, "_pairs", dict(registry._pairs))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module that a user could have written, importable for one test."""

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gym.envs.registration, "registry", gym.registry.copy())
    return write


def test_registering_the_same_twice_changes_nothing_and_another_is_refused() -> None:
    first = registry.register_task("CartPole-v0", family="old", params={"a": [1]})
    assert registry.register_task("CartPole-v0", family="old", params={"a": [1]}) is first
    with pytest.raises(RegistrationConflict, match=r"'CartPole-v0'.*another family, params;"):
        registry.register_task("CartPole-v0", family="new", params={"a": [2]})
    assert registry.tasks()["CartPole-v0"] is first

    pair = registry.register_pair("old", "CartPole-v1", "CartPole-v0", **PAIR)
    assert registry.register_pair("old", "CartPole-v1", "CartPole-v0", **PAIR) is pair
    with pytest.raises(RegistrationConflict, match="another steps"):
        registry.register_pair("old", "CartPole-v1", "CartPole-v0", **{**PAIR, "steps": 11})


def test_tables_are_copies() -> None:
    registry.tasks().clear()
    registry.pairs().clear()
    assert "CartPole-v1" in registry.tasks()
    assert "cartpole-long" in registry.pairs()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"random": float("nan")}, "random of a is nan"),
        ({"reference": float("inf")}, "reference of a is inf"),
        ({"random": 1.0, "reference": 1.0}, "the higher one"),
        ({"random": 1.0, "reference": 0.5}, "the higher one"),
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (0.5, 1.5)}, "thresholds"),
        ({"differs_by": -1}, "differs_by"),
        ({"params": {"a": object()}}, "params of a are not JSON"),
        ({"params": {"a": float("nan")}}, "params of a are not JSON"),
        ({"rewards": 1}, "its fields are id, family"),
    ],
)
def test_task_fields_outside_their_range_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        registry.register_task("a", **fields)
    assert "a" not in registry.tasks()


@pytest.mark.parametrize("id", ["", " a", "a b"])
def test_task_ids_without_a_name_are_refused(id: str) -> None:
    with pytest.raises(BadArgument, match="name without spaces"):
        Task(id=id)


def test_a_module_is_no_part_of_a_task_id() -> None:
    with pytest.raises(BadArgument, match="id alone: 'my/Pole-v0'"):
        registry.register_task("my_tasks:my/Pole-v0")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shift": "weather"}, "shift of pair p is 'weather'; choose one of dynamics"),
        ({"expect": "maybe"}, "choose one of help, hurt"),
        ({"why": " "}, "one line"),
        ({"why": "one\ntwo"}, "one line"),
        ({"steps": 0}, "steps of pair p is 0"),
    ],
)
def test_pair_fields_outside_their_range_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        registry.register_pair("p", "a", "b", **{**PAIR, **fields})
    with pytest.raises(BadArgument, match="Pair got name, source, target; its fields are name"):
        registry.register_pair("p", "a", "b")


def test_normalize_maps_random_to_0_and_reference_to_1() -> None:
    task = Task(id="a", random=-200.0, reference=-100.0)
    assert task.normalize(-150.0) == 0.5
    np.testing.assert_allclose(task.normalize(np.array([-200.0, -100.0, -50.0])), [0, 1, 1.5])


@pytest.mark.parametrize(("scores", "missing"), [({}, "random"), ({"random": 1.0}, "reference")])
def test_normalize_without_scores_says_how_to_give_them(scores: dict, missing: str) -> None:
    with pytest.raises(BadArgument, match=f"the {missing} score of a is not known; .* {missing}="):
        Task(id="a", **scores).normalize(1.0)


def test_any_gymnasium_id_is_a_task() -> None:
    assert "Taxi-v4" not in registry.tasks()
    assert registry.task("Taxi-v4") == Task(id="Taxi-v4")
    assert registry.task("CartPole-v1").family == "cartpole"


@pytest.mark.parametrize("look_up", [registry.task, registry.spec, registry.make])
def test_an_unknown_id_says_what_it_may_have_meant(look_up) -> None:
    with pytest.raises(UnknownName, match=r"Lng-v0'\. Did you mean 'rlt/CartPoleLong-v0'"):
        look_up("rlt/CartPoleLng-v0")
    with pytest.raises(UnknownName, match="no task is named 'not an id'"):
        look_up("not an id")


def test_an_unknown_pair_lists_the_pairs() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cartpole-long'"):
        registry.pair("cartpole-lang")
    assert isinstance(registry.pair("cartpole-long"), Pair)


def test_make_keeps_the_time_limit_and_drops_the_checker() -> None:
    env = registry.make("CartPole-v1")
    assert "TimeLimit" in str(env)
    assert "PassiveEnvChecker" not in str(env)
    assert registry.make("CartPole-v1", max_episode_steps=7).spec.max_episode_steps == 7


def test_make_takes_a_spec_that_went_through_json() -> None:
    spec = EnvSpec.from_json(registry.spec("rlt/CartPoleLong-v0").to_json())
    assert registry.make(spec).unwrapped.length == 1.0


def test_an_argument_that_the_constructor_does_not_take_is_named() -> None:
    with pytest.raises(BadArgument, match="CartPole-v1 does not take one of length"):
        registry.make("CartPole-v1", length=1.0)


def test_a_refused_argument_keeps_its_own_error() -> None:
    with pytest.raises(BadArgument, match="masspole is -1"):
        registry.make("rlt/CartPoleLong-v0", masspole=-1)


MODULE = """
import gymnasium as gym
import rltransfer.registry as rlt
gym.register("my/Pole-v0", entry_point="gymnasium.envs.classic_control.cartpole:CartPoleEnv")
rlt.register_task("my/Pole-v0", family="mine")
"""


def test_a_module_registers_its_own_tasks(module) -> None:
    name = module("my_pole", MODULE)
    assert registry.task(f"{name}:my/Pole-v0").family == "mine"
    assert registry.spec(f"{name}:my/Pole-v0").id == "my/Pole-v0"
    assert registry.make(f"{name}:my/Pole-v0").spec.id == "my/Pole-v0"
    with pytest.raises(UnknownName, match="Did you mean 'my/Pole-v0'"):
        registry.make(f"{name}:my/Pol-v0")


@pytest.mark.parametrize("id", ["no_such_module:my/Pole-v0", "no_such.package.at_all:my/Pole-v0"])
def test_a_module_that_does_not_exist_must_be_importable(id: str) -> None:
    with pytest.raises(UnknownName, match=r"no module is named .*PYTHONPATH") as caught:
        registry.make(id)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("line", ["1 / 0", "import not_installed_anywhere", "from os import nope"])
def test_an_error_inside_a_module_is_told_and_chained(module, line: str) -> None:
    name = module("my_broken", f"{line}\n")
    with pytest.raises(BadEnvironment, match=r"'my_broken'.*raised an error") as caught:
        registry.make(f"{name}:my/Pole-v0")
    assert type(caught.value.__cause__).__name__ in str(caught.value)


def test_a_typed_error_inside_a_module_stays_itself(module) -> None:
    name = module("my_pole", MODULE + 'rlt.register_task("my/Pole-v0", family="other")\n')
    with pytest.raises(RegistrationConflict):
        registry.make(f"{name}:my/Pole-v0")


def test_an_error_inside_a_constructor_is_told_and_chained(module) -> None:
    name = module(
        "my_bad",
        "import gymnasium as gym\n"
        "class Bad(gym.Env):\n"
        "    def __init__(self):\n"
        "        raise RuntimeError('two\\nlines')\n"
        "gym.register('my/Bad-v0', entry_point='my_bad:Bad')\n",
    )
    with pytest.raises(
        BadEnvironment, match="could not be made: RuntimeError: two lines"
    ) as caught:
        registry.make(f"{name}:my/Bad-v0")
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("id", "hidden", "extra"),
    [
        ("rlt/DoorKey-5x5-v0", ["minigrid", "minigrid.envs"], "minigrid"),
        ("rlt/LunarLanderLight-v0", ["Box2D", "gymnasium.envs.box2d.lunar_lander"], "box2d"),
        ("BipedalWalker-v3", ["Box2D", "gymnasium.envs.box2d.bipedal_walker"], "box2d"),
        ("rlt/HalfCheetahLight-v0", ["mujoco"], "mujoco"),
    ],
)
def test_a_missing_extra_is_named(
    id: str, hidden: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python's own way to make an import fail: None in sys.modules.
    monkeypatch.setitem(sys.modules, hidden[0], None)
    for name in hidden[1:]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in [m for m in sys.modules if m.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra, match=rf"{id} needs an extra: pip install .*\[{extra}\]"):
        registry.make(id)


def test_a_missing_package_without_an_extra_is_named(module) -> None:
    name = module(
        "my_needy",
        "import gymnasium as gym\ngym.register('my/Needy-v0', entry_point='not_there:Env')\n",
    )
    with pytest.raises(MissingExtra, match=r"my/Needy-v0 needs a package.*'not_there'"):
        registry.make(f"{name}:my/Needy-v0")
