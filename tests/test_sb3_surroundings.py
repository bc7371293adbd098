"""What lies beside a zip: statistics, the notes of the RL Zoo, and the names of files."""

from __future__ import annotations

import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from agent_cases import CASES
from sb3_files import with_data
from stable_baselines3 import PPO

import rltransfer as rlt
from rltransfer.agents.sb3 import yamlfile
from rltransfer.agents.sb3.report import HOWS
from rltransfer.agents.sb3.tasks import newest
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName

# As rl_zoo3 writes them; "normalize" as people write it in its configuration.
ARGS = """\
!!python/object/apply:collections.OrderedDict
- - - algo
    - ppo
  - - env
    - {env}
  - - env_kwargs
    - null
"""
CONFIG = """\
!!python/object/apply:collections.OrderedDict
- - - n_envs
    - 8
  - - normalize
    - {normalize}
  - - clip
    - !!python/tuple
      - 0.1
      - 0.2
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for case in ("normalized", "box"):
        CASES[case]().save(folder / f"{case}.zip")
    model = CASES["normalized"]()
    model.get_vec_normalize_env().save(str(folder / "vecnormalize.pkl"))
    return folder


def put(sources: Path, folder: Path, zip: str = "normalized", **files: str) -> Path:
    """Copy an agent, and put statistics or texts beside it: file name -> "statistics" or text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == "statistics":
            shutil.copy(sources / "vecnormalize.pkl", path)
        else:
            path.write_text(content)
    return Path(shutil.copy(sources / f"{zip}.zip", folder / "agent.zip"))


def changed(sources: Path, **attributes: Any) -> bytes:
    """The statistics with other attributes, as a pickle."""
    venv = pickle.loads((sources / "vecnormalize.pkl").read_bytes())
    for name, value in {"class_attributes": {}, "returns": None, **attributes}.items():
        setattr(venv, name, value)
    return pickle.dumps(venv)


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        rlt.read_sb3(path, **options)
    assert str(caught.value).startswith(str(path.parent)) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        *("vecnormalize.pkl", "vec_normalize.pkl", "agent.vecnormalize.pkl"),
        *("CartPole-v1/vecnormalize.pkl", "agent/vecnormalize.pkl"),
    ],
)
def test_statistics_are_found_beside_the_zip(place: str, sources: Path, tmp_path: Path) -> None:
    path = put(
        sources, tmp_path, **{"args.yml": ARGS.format(env="CartPole-v1")}, **{place: "statistics"}
    )
    found = rlt.read_sb3(path)
    spec = found.agent.normalization
    assert spec is not None and spec.obs and spec.reward
    expected = pickle.loads((sources / "vecnormalize.pkl").read_bytes())
    assert np.array_equal(spec.obs_stats.mean, expected.obs_rms.mean)  # pyright: ignore
    assert np.array_equal(spec.obs_stats.var, expected.obs_rms.var)  # pyright: ignore
    assert spec.obs_stats.count == expected.obs_rms.count  # pyright: ignore
    assert spec.return_stats is not None and spec.return_stats.var == expected.ret_rms.var
    assert (spec.clip_obs, spec.gamma) == (5.0, 0.9)
    line = str(found.report).partition("normalization")[2].splitlines()[0]
    assert "observations and rewards" in line and "beside the zip" in line


def test_statistics_that_carry_the_name_of_the_zip_go_first(sources: Path, tmp_path: Path) -> None:
    files = {"vecnormalize.pkl": "broken", "agent.vecnormalize.pkl": "statistics"}
    assert rlt.load(put(sources, tmp_path, **files)).normalization is not None


def test_several_statistics_are_asked_about(sources: Path, tmp_path: Path) -> None:
    files = {"vecnormalize.pkl": "statistics", "vec_normalize.pkl": "statistics"}
    path = put(sources, tmp_path, **files)
    words = refused(path)
    assert "several statistics" in words and "vec_normalize.pkl" in words
    assert "`rltransfer import agent.zip --out NAME --normalization PATH` first" in words
    chosen = rlt.load(path, normalization=tmp_path / "vec_normalize.pkl")
    assert chosen.normalization is not None
    assert rlt.load(path, normalization=str(tmp_path / "vec_normalize.pkl")).normalization


def test_missing_statistics_are_an_error_with_its_cure(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path)
    words = refused(path)
    assert "trained on normalized observations" in words and "--no-normalization" in words
    assert rlt.load(path, normalization=False).normalization is None
    with pytest.raises(BadArgument, match="normalization=3"):
        rlt.load(path, normalization=3)  # pyright: ignore
    assert "cannot be read" in refused(path, normalization=tmp_path / "none.pkl")
    for name in ("own.pkl", "statistics.pkl"):
        (tmp_path / name).write_bytes(b"")
    assert "own.pkl, statistics.pkl, which may be them" in refused(path)


def test_going_without_statistics_is_noted(sources: Path, tmp_path: Path) -> None:
    """Whoever says it, the zip or the notes of the RL Zoo; and not where there were none."""
    config = {"config.yml": CONFIG.format(normalize="true")}
    for zip, files, told in (("normalized", {}, True), ("box", config, True), ("box", {}, False)):
        path = put(sources, tmp_path / f"{zip}{len(files)}", zip, **files)
        found = rlt.read_sb3(path, normalization=False)
        notes = [note for note in found.report.notes if "used without their statistics" in note]
        assert bool(notes) == told and all(note in found.agent.card.notes for note in notes)


@pytest.mark.parametrize(
    ("normalize", "needed"),
    [
        ("true", True),
        ("'dict(norm_obs=True, norm_reward=False)'", True),
        ("false", False),
        ("'False'", False),
        ("null", False),
    ],
)
def test_the_zoo_says_whether_it_normalized(
    normalize: str, needed: bool, sources: Path, tmp_path: Path
) -> None:
    path = put(sources, tmp_path, "box", **{"config.yml": CONFIG.format(normalize=normalize)})
    if needed:
        assert "no statistics lie beside it" in refused(path)
    else:
        assert rlt.load(path).normalization is None


def test_statistics_of_others_are_not_taken(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path, "box", **{"vecnormalize.pkl": "statistics"})
    found = rlt.read_sb3(path)
    assert found.agent.normalization is None
    (note,) = [note for note in found.report.notes if "vecnormalize.pkl" in note]
    assert "trained without" in note and note in found.agent.card.notes
    asked = rlt.load(path, normalization=True)
    assert asked.normalization is not None
    # A file that says nothing about it, such as one that was never trained.
    with_data(path, num_timesteps=0)
    assert rlt.load(path).normalization is not None


def test_statistics_are_checked(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path)
    target = tmp_path / "vecnormalize.pkl"

    def write(**changes: Any) -> None:
        target.write_bytes(changed(sources, **changes))

    rms = pickle.loads((sources / "vecnormalize.pkl").read_bytes()).obs_rms
    rms.mean = rms.mean[:4]
    for changes, words in (
        ({"obs_rms": rms}, "shape"),
        ({"epsilon": -1.0}, "epsilon=-1.0"),
        ({"norm_obs": "yes"}, "expected a number"),
        ({"norm_reward": 1}, "expected True or False"),
        ({"ret_rms": None}, "running statistics"),
        ({"clip_obs": True}, "clip_obs is True"),
        ({"gamma": float("nan")}, "gamma=nan"),
    ):
        write(**changes)
        assert words in refused(path)
    target.write_bytes(pickle.dumps({"obs_rms": 1}))
    assert "expected the pickle of a VecNormalize" in refused(path)
    target.write_bytes(b"not a pickle")
    assert "vecnormalize.pkl: " in refused(path)
    rms = pickle.loads((sources / "vecnormalize.pkl").read_bytes()).obs_rms
    rms.mean, rms.var = rms.mean[:4], rms.var[:4]
    write(obs_rms=rms)
    words = refused(path)
    assert words.startswith(f"{path}: {target}: observation statistics have shape (4,)")
    assert "the policy observes (5,): are the statistics of another task?" in words


def test_names_in_statistics_are_listed(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path)
    (tmp_path / "vecnormalize.pkl").write_bytes(changed(sources, extra=time.sleep))
    assert rlt.read_sb3(path).report.foreign == ("time.sleep",)
    assert "time.sleep" in refused(path, strict=True)


# YAML.


def test_the_tags_of_the_zoo_are_data(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.format(normalize="true"))
    assert yamlfile.read(path) == {"n_envs": 8, "normalize": True, "clip": (0.1, 0.2)}


BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!python/object/apply:os.mkdir [{here}/boom]", "python/object/apply:os.mkdir"),
        ("a: !!python/object/new:os.system [true]", "could not determine a constructor"),
        ("a: !!python/name:os.system ''", "could not determine a constructor"),
        ("a: !!python/module:os ''", "could not determine a constructor"),
        ("!!python/object/apply:collections.OrderedDict {a: 1}", "no ordered dict"),
        ("!!python/object/apply:collections.OrderedDict [[1, 2]]", "not a file of the RL Zoo"),
        ("!!python/tuple {a: 1}", "no tuple"),
        (BOMB, "aliases"),
        ("a: &a {b: 1}\nc:\n  <<: *a", "aliases"),
        ("[" * 40 + "]" * 40, "too deep"),
        ("[" * 5000 + "]" * 5000, "too deep"),
        ("- 1\n" * 5000, "too large"),
        ("a: " + "1" * 20_000, "not a file of the RL Zoo"),
        ("x" * 40_000, "larger than"),
        ("- 1", "expected names and values"),
        ("a: 1\nb: [", "not a file of the RL Zoo"),
        ("? [a]\n: 1", "not a file of the RL Zoo"),
    ],
)
def test_other_yaml_is_refused_and_the_agent_read(
    text: str, words: str, sources: Path, tmp_path: Path
) -> None:
    path = put(sources, tmp_path, "box", **{"args.yml": text.replace("{here}", str(tmp_path))})
    start = time.process_time()
    with pytest.raises(BadCheckpoint, match=words):
        yamlfile.read(tmp_path / "args.yml")
    assert time.process_time() - start < 1.0
    assert not (tmp_path / "boom").exists()
    (note,) = [note for note in rlt.read_sb3(path).report.notes if note.startswith("not read: ")]
    assert "args.yml" in note


def test_what_was_around_the_task_is_told(sources: Path, tmp_path: Path) -> None:
    config = yaml.safe_dump({"env_wrapper": ["my.wrappers.Skip"], "frame_stack": 4})
    args = yaml.safe_dump({"env": "CartPole-v1", "env_kwargs": {"gravity": 9.0}})
    path = put(sources, tmp_path, "box", **{"config.yml": config, "args.yml": args})
    notes = rlt.read_sb3(path).report.notes
    assert any("env_wrapper: ['my.wrappers.Skip']" in note for note in notes)
    assert any("frame_stack: 4" in note for note in notes)
    assert any("{'gravity': 9.0}" in note for note in notes)


# Tasks.


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("ppo-CartPole-v1.zip", "CartPole-v1"),
        ("PPO_LunarLander-v2.zip", "LunarLander-v3"),
        ("a2c-Pendulum-v0.zip", "Pendulum-v1"),
        ("ppo_lstm-HalfCheetah-v2.zip", "HalfCheetah-v5"),
        ("CartPole-v1_3/best_model.zip", "CartPole-v1"),
        ("ppo-MountainCar-v0/model.zip", "MountainCar-v0"),
        ("my-agent-v2.zip", ""),
        ("agent.zip", ""),
    ],
)
def test_names_of_files_and_folders_tell_the_task(
    name: str, task: str, sources: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(sources / "box.zip", path)
    found = rlt.read_sb3(path)
    assert found.agent.card.task == task
    told = any("give it with task='CartPole-v1'" in note for note in found.report.notes)
    assert told == (task == "")


def test_the_report_says_whose_name_told_the_task(sources: Path, tmp_path: Path) -> None:
    args = {"args.yml": ARGS.format(env="CartPole-v1")}
    for folder, name, files, how in (
        ("a", "ppo-CartPole-v1.zip", {}, "file name"),
        ("CartPole-v1_2", "model.zip", {}, "folder name"),
        ("b", "model.zip", args, "beside the zip"),
    ):
        path = put(sources, tmp_path / folder, "box", **files).rename(tmp_path / folder / name)
        report = rlt.read_sb3(path).report
        assert [part.how for part in report.fields if part.name == "task"] == [how]
        assert f"{how}: {HOWS[how]}" in str(report).splitlines()


def test_a_task_that_the_user_gives_must_be_one(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path, "box")
    for wrong, words in (
        ("CartPol-v1", "Did you mean 'CartPole-v1'"),
        ("CartPole-v9", "no task is named 'CartPole-v9'"),
        ("nothing", "no task is named 'nothing'"),
    ):
        with pytest.raises(UnknownName, match=words):
            rlt.read_sb3(path, task=wrong)
    with pytest.raises(BadArgument, match="task=3: expected a Gymnasium id"):
        rlt.read_sb3(path, task=3)  # pyright: ignore
    found = rlt.read_sb3(path, task="LunarLander-v2")
    assert found.agent.card.task == "LunarLander-v3"
    assert any("which Gymnasium no longer has" in note for note in found.report.notes)


def test_a_task_with_other_spaces_is_noted(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path, "box")  # of five numbers, and two actions
    found = rlt.read_sb3(path, task="CartPole-v1")
    (observations, actions) = [n for n in found.report.notes if n.startswith("CartPole-v1 has ")]
    assert observations.startswith("CartPole-v1 has observations Box(") and "(5,)" in observations
    assert "has actions Discrete(2), but the agent has Box(-1.0, 1.0, (2,)" in actions
    assert actions in found.agent.card.notes
    cart = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    cart.save(tmp_path / "cart.zip")
    notes = rlt.read_sb3(tmp_path / "cart.zip", task="CartPole-v1").report.notes
    assert not [note for note in notes if "CartPole" in note]


def test_notes_of_the_zoo_go_before_names_and_the_user_before_both(
    sources: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "ppo-CartPole-v1"
    path = put(sources, folder, "box", **{"args.yml": ARGS.format(env="LunarLander-v2")})
    found = rlt.read_sb3(path)
    assert found.agent.card.task == "LunarLander-v3"
    (note,) = [note for note in found.report.notes if "LunarLander-v2" in note]
    assert "its task is LunarLander-v3 now" in note and note in found.agent.card.notes
    found = rlt.read_sb3(path, task="my_tasks:my/Lander-v0")
    assert found.agent.card.task == "my_tasks:my/Lander-v0"
    assert not [note for note in found.report.notes if "LunarLander" in note]


def test_a_task_that_nobody_registered_is_kept(sources: Path, tmp_path: Path) -> None:
    path = put(sources, tmp_path, "box", **{"args.yml": ARGS.format(env="AntBulletEnv-v0")})
    found = rlt.read_sb3(path)
    assert found.agent.card.task == "AntBulletEnv-v0"
    assert any("register it before" in note for note in found.report.notes)


def test_newest_versions() -> None:
    assert newest("CartPole-v0") == "CartPole-v0" and newest("HalfCheetah-v4") == "HalfCheetah-v4"
    assert newest("HalfCheetah-v3") == "HalfCheetah-v5" and newest("Nothing-v0") is None
