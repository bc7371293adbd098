"""Zips of Stable-Baselines3 on the command line, and wherever an agent can be named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent_cases import Doubling
from sb3_files import pickled, with_data
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import rltransfer as rlt
from rltransfer.cli import main
from rltransfer.errors import BadCheckpoint

SETTINGS: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "device": "cpu"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with two zips of Stable-Baselines3."""
    monkeypatch.chdir(tmp_path)
    PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), seed=0, **SETTINGS).learn(64).save("mine")
    normalized = VecNormalize(make_vec_env("Pendulum-v1", 2))
    PPO("MlpPolicy", normalized, seed=0, **SETTINGS).learn(64).save("ppo-Pendulum-v1")
    normalized.save("statistics.pkl")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.md").touch()
    return tmp_path


def run(*args: object, capsys: Any) -> tuple[int, str, str]:
    code = main([str(arg) for arg in args])
    return code, *capsys.readouterr()


def test_import_reports_and_writes(here: Path, capsys: Any) -> None:
    code, out, err = run(
        "import", "mine.zip", "--out", "own/cart", "--task", "CartPole-v1", capsys=capsys
    )
    assert (code, err) == (0, "")
    assert out.startswith("mine.zip: PPO, saved by Stable-Baselines3 2.9.2\nsha256 ")
    assert "\ncart: PPO with MlpPolicy\n" in out
    assert out.endswith("written to own/cart.safetensors and .json\n")
    agent = rlt.load("own/cart")
    assert (agent.card.name, agent.card.task) == ("cart", "CartPole-v1")
    assert agent.card.command == "rltransfer import mine.zip --out own/cart --task CartPole-v1"
    assert agent.hyperparameters == rlt.load("mine.zip").hyperparameters


def test_import_of_a_normalized_agent(here: Path, capsys: Any) -> None:
    args = ("import", "ppo-Pendulum-v1", "--out", "swing")
    code, out, err = run(*args, capsys=capsys)
    assert code == 1 and out == "" and "--normalization PATH" in err
    assert err.startswith("error: ppo-Pendulum-v1.zip: ") and not (here / "swing.json").exists()
    code, out, _ = run(*args, "--normalization", "statistics.pkl", capsys=capsys)
    assert code == 0 and "statistics.pkl: observations and rewards" in out
    assert rlt.load("swing").normalization is not None
    assert rlt.load("swing").card.task == "Pendulum-v1"
    code, *_ = run(*args, "--no-normalization", capsys=capsys)
    assert code == 0 and rlt.load("swing").normalization is None


def test_import_of_a_schedule_that_is_a_function(here: Path, capsys: Any) -> None:
    with_data(here / "mine.zip", learning_rate=pickled(lambda progress: progress**2 / 100))
    args = ("import", "mine.zip", "--out", "cart")
    code, _, err = run(*args, "--strict", capsys=capsys)
    assert code == 1 and "learning_rate, a function" in err
    code, out, _ = run(*args, capsys=capsys)
    assert code == 0 and "not recoverable" in out and "--set learning_rate=..." in out
    code, out, _ = run(*args, "--strict", "--set", "learning_rate=0.01", capsys=capsys)
    assert code == 0 and "not recoverable" not in out
    assert rlt.load("cart").hyperparameters["learning_rate"] == 0.01
    code, _, err = run(*args, "--set", "learning_rat=0.01", capsys=capsys)
    assert code == 1 and "Did you mean 'learning_rate'" in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("import", "none.zip", "--out", "a"), "none.zip: cannot be read"),
        (("import", "mine.zip", "--out", "a.zip"), "without .zip"),
        (("import", "mine.zip", "--out", "statistics.pkl/a"), "cannot be written"),
        (("evaluate", "mine.zip"), "nothing says which task it was trained on"),
        (("evaluate", "mine.zip"), "rltransfer evaluate AGENT CartPole-v1"),
        (("show", "none.zip"), "none.zip: cannot be read"),
        (("evaluate", "mine.zip", "Pendulum-v1"), "has observations"),
        (
            ("evaluate", "ppo-Pendulum-v1.zip"),
            "`rltransfer import ppo-Pendulum-v1.zip --out NAME --normalization PATH` first",
        ),
        (("import", "hub:a/b", "--out", "a"), "`rltransfer evaluate hub:a/b`"),
        (("import", "mine.zip", "--out", "a", "--task", "CartPol-v1"), "mean 'CartPole-v1'"),
        (("evaluate", "./"), "mine.zip', 'ppo-Pendulum-v1.zip'"),
        (("evaluate", "empty/"), "expected NAME.safetensors and NAME.json, or a zip"),
        (("evaluate", "empty/"), "it holds 'readme.md'"),
        (("evaluate", "empty"), "no agent is named 'empty'"),
    ],
)
def test_mistakes_are_explained_in_a_line(
    args: tuple[str, ...], words: str, here: Path, capsys: Any
) -> None:
    code, out, err = run(*args, capsys=capsys)
    assert code == 1 and out == "" and words in err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_zips_go_wherever_agents_go(here: Path, capsys: Any) -> None:
    code, out, _ = run("show", "mine.zip", capsys=capsys)
    assert code == 0 and out.startswith("mine: PPO with MlpPolicy\n")
    assert run("show", "mine", capsys=capsys)[1] == out
    code, out, _ = run("evaluate", "mine.zip", "CartPole-v1", "--episodes", 2, capsys=capsys)
    assert code == 0 and out.startswith("CartPole-v1: ")
    code, out, _ = run("export", "mine.zip", "again.zip", capsys=capsys)
    assert code == 0 and PPO.load("again.zip", device="cpu").num_timesteps == 64
    args = ("finetune", "mine.zip", "rlt/CartPoleLong-v0", "--recipe", "full", "--steps", 64)
    code, *_ = run(*args, capsys=capsys)
    (folder,) = (here / "runs").iterdir()
    assert code == 0 and folder.name == "mine__CartPoleLong-v0__full__seed0"
    assert rlt.load(folder / "agent").card.source == "mine"
    model = rlt.adapt("mine.zip", "rlt/CartPoleLong-v0", "full")
    assert type(model).__name__ == "TransferPPO"
    assert rlt.evaluate("mine.zip", "CartPole-v1", episodes=2).episodes == 2


def test_a_folder_stands_for_the_one_agent_in_it(here: Path, capsys: Any) -> None:
    (here / "CartPole-v1").mkdir()
    (here / "mine.zip").rename(here / "CartPole-v1" / "model.zip")
    for name in ("CartPole-v1", "CartPole-v1/", str(here / "CartPole-v1")):
        assert rlt.load(name).card.task == "CartPole-v1"
        code, out, _ = run("evaluate", name, "--episodes", 2, capsys=capsys)
        assert code == 0 and out.startswith("CartPole-v1: ")
    assert rlt.load("CartPole-v1", hyperparameters={"gamma": 0.5}).hyperparameters["gamma"] == 0.5
    args = ("finetune", "CartPole-v1", "rlt/CartPoleLong-v0", "--recipe", "full", "--steps", 64)
    code, *_ = run(*args, capsys=capsys)
    assert code == 0 and (here / "runs/CartPole-v1__CartPoleLong-v0__full__seed0").is_dir()
    # Our own format goes first, and several of it are asked about.
    rlt.load("CartPole-v1").with_card(name="own").save("CartPole-v1/own")
    assert rlt.load("CartPole-v1").card.name == "own"
    rlt.load("CartPole-v1").save("CartPole-v1/second")
    with pytest.raises(BadCheckpoint, match="several agents: give one, such as CartPole-v1/own"):
        rlt.load("CartPole-v1")
    # As without folders, the zoo and what bears the name itself go before.
    (here / "cartpole").symlink_to(here / "CartPole-v1")
    assert rlt.load("cartpole").card.name == "cartpole"
    rlt.load("CartPole-v1/own").with_card(name="beside").save("CartPole-v1")
    assert rlt.load("CartPole-v1").card.name == "beside"


def test_classes_are_for_python(here: Path, capsys: Any) -> None:
    kwargs = {"features_extractor_class": Doubling}
    env = make_vec_env("CartPole-v1", 2)
    PPO("MlpPolicy", env, policy_kwargs=kwargs, **SETTINGS).save("own")
    code, _, err = run("evaluate", "own.zip", "CartPole-v1", capsys=capsys)
    assert code == 1 and "in Python, pass classes=" in err
    _, out, _ = run("import", "own.zip", "--out", "a", capsys=capsys)
    assert "load it in Python with classes=" in " ".join(out.split())
