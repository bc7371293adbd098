"""Files that are legitimate though unusual, and small files that ask for much."""

from __future__ import annotations

import copy
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent_cases import CARD, IMAGE, MOVE, PRESS, SMALL, VECTOR, agent, normalized, train, venv
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_files import members, pickled, with_data, write
from stable_baselines3 import PPO
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import VecNormalize

import rltransfer as rlt
from rltransfer.agents import Agent, RunningStats, bundle, document
from rltransfer.agents import spaces as codec
from rltransfer.cli import main
from rltransfer.errors import BadArgument, BadCheckpoint, TransferError


def stored(path: Path, change: Any) -> Path:
    """Store an agent whose document was changed, sealed as if it always was so."""
    tensors, document_ = document.write(agent())
    document_ = copy.deepcopy(document_)
    change(document_)
    bundle.write(path, tensors, document_)
    return path


@pytest.mark.parametrize(
    "options",
    [{"threshold": sys.maxsize}, {"precision": 0}, {"precision": 1}, {"infstr": "Inf"}],
    ids=str,
)
def test_ways_to_print_numbers_are_no_contradiction(options: Any, tmp_path: Path) -> None:
    low = np.array([-1.25, -np.inf, -0.125, -3.5, -0.75], np.float32)
    space = IMAGE if "threshold" in options else spaces.Box(low, -low, dtype=np.float32)
    policy = "CnnPolicy" if "threshold" in options else "MlpPolicy"
    with np.printoptions(**options):
        train(PPO, policy, venv(space, PRESS), n_epochs=1).save(tmp_path / "a.zip")
    assert (
        rlt.load(tmp_path / "a.zip").observation_space
        == PPO.load(tmp_path / "a.zip", device="cpu").observation_space
    )


def test_schedules_that_were_wrapped_with_each_load_are_read(tmp_path: Path) -> None:
    train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL).save(tmp_path / "a.zip")
    schedule: Any = 0.125
    for _ in range(12):
        schedule = FloatSchedule(schedule)
    with_data(tmp_path / "a.zip", clip_range=pickled(schedule))
    assert rlt.load(tmp_path / "a.zip").hyperparameters["clip_range"] == 0.125


@pytest.mark.parametrize("way", ["agent", "model"])
def test_statistics_of_another_agent_do_not_stay(way: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    agent("normalized").to_sb3(path)
    assert rlt.load(path).normalization is not None
    if way == "agent":
        agent("box").to_sb3(path)
    else:
        source = Agent.from_model(
            PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16), card=CARD
        )
        rlt.adapt(source, "CartPole-v1", "full").save(path)
    assert not (tmp_path / "x.vecnormalize.pkl").exists()
    assert rlt.load(path).normalization is None


@pytest.mark.parametrize(
    "text",
    [
        *("env: !!bool foo", "env: !!int ''", "env: !!float ''", "env: !!timestamp foo"),
        *("frame_stack: 0b" + "1" * 20_000, "normalize: 0x" + "f" * 20_000),
    ],
    ids=lambda text: text[:24],
)
@pytest.mark.parametrize("name", ["args.yml", "config.yml"])
def test_odd_yaml_is_a_note(name: str, text: str, tmp_path: Path) -> None:
    train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL).save(tmp_path / "a.zip")
    (tmp_path / name).write_text(text)
    found = rlt.read_sb3(tmp_path / "a.zip")
    assert any(name in note for note in found.report.notes)


def test_a_few_bytes_do_not_ask_for_much_memory(tmp_path: Path) -> None:
    def box(*shape: int) -> dict[str, Any]:
        return {"type": "Box", "dtype": "float32", "shape": [*shape], "low": -1.0, "high": 1.0}

    parts = [[str(i), box(2**18)] for i in range(5)]
    for space in (
        box(2**20 + 1),
        box(0, 10**50),
        {"type": "Dict", "sort_keys": True, "spaces": parts},
        {"type": "Tuple", "spaces": [part for _, part in parts]},
        {"type": "MultiBinary", "n": [2**11, 2**10]},
    ):
        with pytest.raises(BadCheckpoint, match="too large"):
            codec.decode(space)
    assert codec.decode(box(2**20)).shape == (2**20,)
    with pytest.raises(BadArgument, match="cannot be stored"):
        codec.encode(spaces.Box(0, 1, (2**20 + 1,)))


def test_a_rollout_that_no_machine_holds_is_refused(tmp_path: Path) -> None:
    model = train(MaskablePPO, "MlpPolicy", venv(VECTOR, PRESS), policy_kwargs=SMALL)
    model.save(tmp_path / "a.zip")
    with_data(tmp_path / "a.zip", n_steps=10**7, n_envs=20)
    found = rlt.load(tmp_path / "a.zip")
    with pytest.raises(BadCheckpoint, match=r"rollout of 200,000,000 steps"):
        found.build()


@pytest.mark.parametrize("name", ["gamma", "ent_coef", "learning_rate"])
def test_huge_whole_numbers_are_refused(name: str, tmp_path: Path) -> None:
    path = stored(tmp_path / "a", lambda data: data["hyperparameters"].update({name: 10**400}))
    with pytest.raises(BadCheckpoint, match="digits"):
        rlt.load(path)


def test_names_that_a_terminal_would_act_upon_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stored(tmp_path / "a", lambda data: data["card"].update(name="\x1b[2Jgone"))
    with pytest.raises(BadCheckpoint, match="printable"):
        rlt.load(path)
    assert main(["evaluate", "no\x1b[2Jsuch"]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_documents_stay_small(tmp_path: Path) -> None:
    """A uniform bound is one value, whichever it is, and a mixed one is not."""
    for low, high in ((0, 255), (-np.inf, np.inf), (-0.0, 1.0)):
        space = spaces.Box(low, high, (40, 40), np.float32)
        assert len(json.dumps(codec.encode(space))) < 120
        again = codec.decode(codec.encode(space))
        assert again == space and np.signbit(again.low).all() == np.signbit(low)
    assert codec.encode(spaces.Box(np.array([0.0, -0.0], np.float32), 1.0))["low"] == [
        0.0,
        -0.0,
    ]


def checkpoints(folder: Path, count: int) -> None:
    """Agent and statistics as CheckpointCallback names them, and older statistics beside them."""
    model = train(PPO, "MlpPolicy", normalized(), policy_kwargs=SMALL)
    normalizer = model.get_vec_normalize_env()
    assert isinstance(normalizer, VecNormalize) and isinstance(normalizer.obs_rms, RunningMeanStd)
    normalizer.save(str(folder / "rl_model_vecnormalize_32_steps.pkl"))
    model.save(folder / "rl_model_32_steps.zip")
    normalizer.obs_rms.count = count
    normalizer.save(str(folder / "vecnormalize.pkl"))


def test_statistics_of_the_same_checkpoint_come_first(tmp_path: Path) -> None:
    checkpoints(tmp_path, 5_000)
    found = rlt.read_sb3(tmp_path / "rl_model_32_steps.zip")
    stats = found.agent.normalization
    assert stats is not None and isinstance(stats.obs_stats, RunningStats)
    assert stats.obs_stats.count < 100
    assert not any("another moment" in note for note in found.report.notes)


def test_statistics_of_another_moment_are_noted(tmp_path: Path) -> None:
    checkpoints(tmp_path, 5_000)
    (tmp_path / "rl_model_vecnormalize_32_steps.pkl").unlink()
    found = rlt.read_sb3(tmp_path / "rl_model_32_steps.zip")
    assert any("stand for 5,000 observations" in note for note in found.report.notes)
    assert "another moment" in found.agent.card.notes


def test_names_with_a_point_are_whole_names(tmp_path: Path) -> None:
    for rate in ("0.001", "0.01"):
        train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL).save(
            tmp_path / f"ppo_lr{rate}"
        )
        assert (tmp_path / f"ppo_lr{rate}").is_file()
        assert rlt.load(tmp_path / f"ppo_lr{rate}").card.name == f"ppo_lr{rate}"


def by_value() -> Any:
    """A call of a lambda that is pickled by value, as a pickle that PPO.load would run."""

    class Calling:
        def __reduce__(self) -> Any:
            return (lambda: 7), ()

    return Calling()


def test_strict_refuses_calls_of_what_the_file_makes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL).save(path)
    assert rlt.read_sb3(path, strict=True).report.foreign == ()
    with_data(path, ep_info_buffer=pickled(by_value()))
    found = rlt.read_sb3(path)
    assert any("file itself makes" in name for name in found.report.foreign)
    with pytest.raises(BadCheckpoint, match="strict"):
        rlt.read_sb3(path, strict=True)


@pytest.mark.parametrize("member", ["pytorch_variables.pth", "policy.pth"])
def test_names_in_tensors_are_looked_at(member: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    train(PPO, "MlpPolicy", venv(VECTOR, MOVE), policy_kwargs=SMALL).save(path)
    parts = members(path)
    with zipfile.ZipFile(io.BytesIO(parts[member])) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    program = next(name for name in inner if name.endswith("data.pkl"))
    # Made and dropped, so that nothing of it is in the result.
    inner[program] = inner[program][:2] + b"cos\nsystem\n0" + inner[program][2:]
    write(path, {**parts, member: zipped(inner)})
    with pytest.raises(BadCheckpoint, match=r"os\.system"):
        rlt.read_sb3(path, strict=True)


def zipped(content: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)
    return file.getvalue()


@pytest.mark.parametrize("path", ["a\0.zip", "a" * 5_000, "~nobody-of-that-name/a.zip", None, 3])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(TransferError):
        rlt.load(path)
    with pytest.raises(TransferError):
        rlt.read_sb3(path)
