"""Whatever a user gets wrong costs one line that says what to do, and leaves nothing half-written.

Each case is a process of its own, as a user would start it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from processes import MY_TASKS, environment, files, run, tiny_agent

import rltransfer as rlt
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
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert files(cwd) == before
    return lines[0]


def test_an_unknown_id(here: Path) -> None:
    line = refused("finetune", "tiny", "CartPol-v1", *STEPS, *OUT, cwd=here)
    assert "'CartPol-v1'" in line and "Did you mean 'CartPole-v1'?" in line


def test_an_unknown_module(here: Path) -> None:
    line = refused("finetune", "tiny", "your_tasks:my/Pole-v0", *STEPS, *OUT, cwd=here)
    assert "'your_tasks'" in line and "PYTHONPATH" in line


def test_an_unknown_agent(here: Path) -> None:
    line = refused("evaluate", "tinny", cwd=here)
    assert "'tinny'" in line and "path" in line


def test_a_pattern_that_matches_nothing(here: Path) -> None:
    line = refused("finetune", "tiny", "CartPole-v1", *STEPS, *OUT, "--freeze", "actor.9", cwd=here)
    assert "'actor.9'" in line and "Known: actor.0, critic.0, actor.1" in line


def test_unequal_spaces(here: Path) -> None:
    line = refused("finetune", "tiny", "MountainCar-v0", *STEPS, *OUT, "--recipe", "full", cwd=here)
    assert "(8, 4)" in line and "(8, 2)" in line and ("inputs" in line or "reset" in line)


@pytest.mark.parametrize("harm", ["flipped bit", "truncated", "missing half", "edited text"])
def test_a_corrupt_or_truncated_file(here: Path, harm: str) -> None:
    tensors, text = here / "tiny.safetensors", here / "tiny.json"
    content = bytearray(tensors.read_bytes())
    if harm == "flipped bit":
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif harm == "truncated":
        tensors.write_bytes(content[:-100])
    elif harm == "missing half":
        tensors.unlink()
    else:
        edited = text.read_text().replace('"steps": 64', '"steps": 65')
        assert edited != text.read_text()
        text.write_text(edited)
    line = refused("finetune", "./tiny", "CartPole-v1", *STEPS, *OUT, cwd=here)
    assert "tiny." in line and ("sha256" in line or "copy both" in line)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("my/NaNObservation-v0", "observation[0] is nan"),
        ("my/NaNReward-v0", "the reward is nan"),
    ],
)
@pytest.mark.parametrize("verb", ["finetune", "benchmark"])
def test_nan(here: Path, task: str, words: str, verb: str) -> None:
    target = f"my_tasks:{task}"
    args: tuple[object, ...] = ("finetune", "tiny", target, "--recipe", "full")
    if verb == "benchmark":
        args = ("benchmark", "--source", "tiny", "--target", target, "--seeds", 1, "--jobs", 1)
    line = refused(*args, *STEPS, *OUT, cwd=here)
    assert words in line and f"`rltransfer check {task}`" in line


@pytest.mark.parametrize("steps", [0, -5])
def test_steps_that_are_none(here: Path, steps: int) -> None:
    line = refused("finetune", "tiny", "CartPole-v1", "--steps", steps, *OUT, cwd=here)
    assert line == f"error: steps is {steps}: expected a whole number >= 1"


@pytest.mark.parametrize(
    ("task", "package", "extra"),
    [
        ("LunarLander-v3", "Box2D", "box2d"),
        ("rlt/DoorKey-5x5-v0", "minigrid", "minigrid"),
        ("rlt/HopperLight-v0", "mujoco", "mujoco"),
    ],
)
def test_a_missing_extra(here: Path, task: str, package: str, extra: str) -> None:
    (here / "absent").mkdir()
    (here / f"absent/{package}.py").write_text(ABSENT.format(name=package))
    env = environment()
    env["PYTHONPATH"] = os.pathsep.join([str(here / "absent"), env["PYTHONPATH"]])
    line = refused("pretrain", task, *STEPS, "--out", "agent", cwd=here, env=env)
    assert line == f"error: {task} needs an extra: pip install 'rltransfer[{extra}]'"


@pytest.mark.parametrize(
    "args",
    [
        ("finetune", "tiny", "CartPole-v1", *STEPS, "--out", "blocked/runs"),
        ("benchmark", "--source", "tiny", "--pair", "cartpole-long", *STEPS, "--out", "blocked"),
        ("pretrain", "CartPole-v1", *STEPS, "--out", "blocked/agent"),
        ("export", "tiny", "blocked/agent.zip"),
    ],
    ids=lambda args: args[0],
)
def test_an_output_folder_that_cannot_be_written(here: Path, args: tuple[str, ...]) -> None:
    line = refused(*args, cwd=here)
    assert "blocked" in line and "cannot be written" in line and "choose" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else(here: Path) -> None:
    (here / "locked").mkdir(mode=0o500)
    line = refused("finetune", "tiny", "CartPole-v1", *STEPS, "--out", "locked/a", cwd=here)
    assert "Permission denied" in line and "--out" in line


def test_another_run_is_in_the_folder(here: Path) -> None:
    args = ("finetune", "tiny", "CartPole-v1", *STEPS, *OUT, "--recipe", "full")
    assert run(*args, cwd=here).returncode == 0
    line = refused(*args, "--seed", 1, cwd=here)
    assert "runs holds a run with another seed" in line and "--out" in line
    result = here / "runs/result.json"
    result.write_bytes(result.read_bytes()[:-9])
    assert "remove it" in refused(*args, cwd=here)


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
    for steps in (0, -1, 0.5, float("nan"), "64", None):
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
