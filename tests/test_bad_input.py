"""Whatever a user gets wrong costs one line that says what to do, and leaves nothing half-written.

One case of each kind is a process of its own, as a user would start it; its variants save that time
and call the command in this process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import MY_TASKS, environment, files, run, tiny_agent

import rltransfer as rlt
from rltransfer.cli import main
from rltransfer.errors import (
    BadArgument,
    BadCheckpoint,
    BadEnvironment,
    MissingExtra,
    NotWritable,
    SpaceMismatch,
    UnknownName,
)

STEPS = ("--steps", "64")
OUT = ("--out", "runs")
# A package whose import fails as if it were not there, whether or not it is installed.
ABSENT = 'raise ModuleNotFoundError("No module named {name!r}", name={name!r})\n'


@pytest.fixture(scope="module")
def agent_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("agent")
    tiny_agent().save(folder / "tiny")
    return files(folder)


@pytest.fixture
def here(tmp_path: Path, agent_files: dict[str, bytes]) -> Path:
    """A user's folder with an agent, a module, and a file where a folder could be."""
    for name, content in agent_files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "my_tasks.py").write_text(MY_TASKS)
    (tmp_path / "blocked").write_text("a file")
    return tmp_path


def refused(*args: object, cwd: Path, **options: Any) -> str:
    """Run a command that must fail with one line, and change nothing; returns the line."""
    before = files(cwd)
    done = run(*args, cwd=cwd, **options)
    assert files(cwd) == before
    return _only_line(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def refused_here(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """The same, in this process."""
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def refused(*args: object) -> str:
        before = files(here)
        code = main([str(arg) for arg in args])
        assert files(here) == before
        return _only_line(code, *capsys.readouterr())

    return refused


def _only_line(code: int, out: str, err: str) -> str:
    assert code == 1 and out == "", out + err
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    return lines[0]


def test_an_unknown_id(here: Path) -> None:
    line = refused("finetune", "tiny", "CartPol-v1", *STEPS, *OUT, cwd=here)
    assert "'CartPol-v1'" in line and "Did you mean 'CartPole-v1'?" in line


def test_an_unknown_module(refused_here: Any) -> None:
    line = refused_here("finetune", "tiny", "your_tasks:my/Pole-v0", *STEPS, *OUT)
    assert "'your_tasks'" in line and "PYTHONPATH" in line


def test_an_unknown_agent(refused_here: Any) -> None:
    line = refused_here("evaluate", "tinny")
    assert "'tinny'" in line and "path" in line


def test_a_pattern_that_matches_nothing(here: Path) -> None:
    line = refused("finetune", "tiny", "CartPole-v1", *STEPS, *OUT, "--freeze", "actor.9", cwd=here)
    assert "'actor.9'" in line and "Known: actor.0, critic.0, actor.1" in line


def test_unequal_spaces(here: Path) -> None:
    line = refused("finetune", "tiny", "MountainCar-v0", *STEPS, *OUT, "--recipe", "full", cwd=here)
    assert "(8, 4)" in line and "(8, 2)" in line and ("inputs" in line or "reset" in line)


def test_a_truncated_file(here: Path) -> None:
    tensors = here / "tiny.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    line = refused("finetune", "./tiny", "CartPole-v1", *STEPS, *OUT, cwd=here)
    assert "tiny.safetensors" in line and "sha256" in line


@pytest.mark.parametrize("harm", ["flipped bit", "missing half", "edited text", "empty"])
def test_a_corrupt_file(here: Path, harm: str, refused_here: Any) -> None:
    tensors, text = here / "tiny.safetensors", here / "tiny.json"
    content = bytearray(tensors.read_bytes())
    if harm == "flipped bit":
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif harm == "missing half":
        tensors.unlink()
    elif harm == "empty":
        text.write_text("")
    else:
        edited = text.read_text().replace('"steps": 64', '"steps": 65')
        assert edited != text.read_text()
        text.write_text(edited)
    line = refused_here("finetune", "./tiny", "CartPole-v1", *STEPS, *OUT)
    assert "tiny." in line


def test_nan_in_observations(here: Path) -> None:
    target = "my_tasks:my/NaNObservation-v0"
    line = refused("finetune", "tiny", target, "--recipe", "full", *STEPS, *OUT, cwd=here)
    assert "my/NaNObservation-v0" in line and "observation[0] is nan" in line
    assert "rltransfer check" in line


def test_nan_in_rewards(here: Path) -> None:
    """Also in a worker process, where another run has begun."""
    target = "my_tasks:my/NaNReward-v0"
    args = ("benchmark", "--source", "tiny", "--target", target, "--recipes", "full", "--jobs", 2)
    done = run(*args, *STEPS, *OUT, "--seeds", 1, cwd=here)
    assert done.returncode == 1 and not done.stdout
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: 2 of 2 runs ended without a result")
    assert line.count("bad environment") == 2 and line.count("the reward is nan") == 2
    assert len(list(here.glob("*/failures/*.json"))) == 2


def test_nan_in_the_source_task(refused_here: Any) -> None:
    args = ("pretrain", "my_tasks:my/NaNReward-v0", *STEPS, "--out", "agent")
    assert "the reward is nan" in refused_here(*args)


def test_steps_that_are_none(here: Path) -> None:
    line = refused("finetune", "tiny", "CartPole-v1", "--steps", 0, *OUT, cwd=here)
    assert line == "error: steps is 0: expected a whole number >= 1"


def test_steps_that_are_fewer(refused_here: Any) -> None:
    for args in (
        ("finetune", "tiny", "CartPole-v1", *OUT),
        ("benchmark", "--source", "tiny", "--pair", "cartpole-long", *OUT),
        ("pretrain", "CartPole-v1", "--out", "agent"),
    ):
        line = refused_here(*args, "--steps", -5)
        assert line == "error: steps is -5: expected a whole number >= 1"


@pytest.mark.parametrize(
    ("task", "package", "extra"),
    [
        ("LunarLander-v3", "Box2D", "box2d"),
        pytest.param("rlt/DoorKey-5x5-v0", "minigrid", "minigrid", marks=pytest.mark.slow),
        pytest.param("rlt/HopperLight-v0", "mujoco", "mujoco", marks=pytest.mark.slow),
    ],
)
def test_a_missing_extra(here: Path, task: str, package: str, extra: str) -> None:
    (here / "absent").mkdir()
    (here / f"absent/{package}.py").write_text(ABSENT.format(name=package))
    env = environment()
    env["PYTHONPATH"] = os.pathsep.join([str(here / "absent"), env["PYTHONPATH"]])
    line = refused("pretrain", task, *STEPS, "--out", "agent", cwd=here, env=env)
    assert line == f"error: {task} needs an extra: pip install 'rltransfer[{extra}]'"


def test_an_output_folder_that_cannot_be_written(here: Path) -> None:
    args = ("finetune", "tiny", "CartPole-v1", *STEPS, "--out", "blocked/runs")
    line = refused(*args, cwd=here)
    assert line == (
        "error: blocked/runs cannot be written (Not a directory): choose another folder with --out"
    )


@pytest.mark.parametrize(
    "args",
    [
        ("benchmark", "--source", "tiny", "--pair", "cartpole-long", *STEPS, "--out", "blocked"),
        ("pretrain", "CartPole-v1", *STEPS, "--out", "blocked/agent"),
        ("export", "tiny", "blocked/agent.zip"),
    ],
    ids=lambda args: args[0],
)
def test_other_outputs_that_cannot_be_written(args: tuple[str, ...], refused_here: Any) -> None:
    line = refused_here(*args)
    assert "blocked" in line and "cannot be written" in line
    assert "choose" in line or "give a path" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(here: Path, refused_here: Any) -> None:
    (here / "locked").mkdir(mode=0o500)
    line = refused_here("finetune", "tiny", "CartPole-v1", *STEPS, "--out", "locked/a")
    assert "Permission denied" in line and "--out" in line


def test_another_run_is_in_the_folder(here: Path, refused_here: Any, capsys: Any) -> None:
    args = ("finetune", "tiny", "CartPole-v1", *STEPS, *OUT, "--recipe", "full")
    assert main([*args]) == 0
    capsys.readouterr()
    line = refused_here(*args, "--seed", 1)
    assert "runs holds a run with another seed" in line and "--out" in line
    result = here / "runs/result.json"
    result.write_bytes(result.read_bytes()[:-9])
    assert "remove it" in refused_here(*args)


def test_the_same_mistakes_are_typed_errors_in_python(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(here)
    tiny = rlt.load(here / "tiny")
    with pytest.raises(UnknownName):
        rlt.adapt(tiny, "CartPol-v1")
    with pytest.raises(UnknownName):
        rlt.adapt(tiny, "CartPole-v1", rlt.Recipe(freeze=["actor.9"]))
    with pytest.raises(SpaceMismatch):
        rlt.adapt(tiny, "MountainCar-v0")
    for task in ("my/NaNObservation-v0", "my/NaNReward-v0"):
        model = rlt.adapt(tiny, f"my_tasks:{task}")
        with pytest.raises(BadEnvironment):
            model.learn(64)
    wrong: list[Any] = [0, -1, 0.5, float("nan"), "64", None]
    for steps in wrong:
        with pytest.raises(BadArgument, match="steps is"):
            rlt.finetune(tiny, "CartPole-v1", steps=steps)
        with pytest.raises(BadArgument, match="steps is"):
            rlt.measure(tiny, "CartPole-v1", steps=steps)
        with pytest.raises(BadArgument, match="steps is"):
            rlt.pretrain("CartPole-v1", steps)
    with pytest.raises(NotWritable):
        rlt.finetune(tiny, "CartPole-v1", steps=64, out=here / "blocked/x")
    with pytest.raises(NotWritable):
        tiny.save(here / "nowhere/tiny")
    data = json.loads((here / "tiny.json").read_text())
    (here / "tiny.json").write_text(json.dumps({**data, "version": 99}))
    with pytest.raises(BadCheckpoint):
        rlt.load(here / "tiny")
    assert issubclass(MissingExtra, rlt.TransferError)
