"""Cards of agents that were imported: nothing on them claims what their files do not tell."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from agent_cases import CARD, CASES
from processes import files, tiny_agent
from sb3_files import pickled, with_data

import rltransfer as rlt
from rltransfer.agents import Agent, hub
from rltransfer.agents.origin import imported, made_from, public_command
from rltransfer.cli import main

DATA = Path(__file__).parent / "data" / "sb3"


def body(agent: Agent, folder: Path) -> str:
    """The Markdown of its card, without the YAML and the notes."""
    text = (hub.write_folder(agent, folder) / "README.md").read_text("utf-8")
    return re.sub(r"Notes:\n\n```.*?```", "", text.split("\n---\n", 1)[1], flags=re.DOTALL)


def fact(agent: Agent, name: str) -> str:
    """The first line of a fact in its description."""
    (found,) = re.findall(rf"^  {name}  +(.*)$", agent.describe(), re.MULTILINE)
    return found


def test_nobody_knows_what_an_imported_agent_was_made_from(tmp_path: Path) -> None:
    own = tiny_agent()
    assert fact(own, "made from") == "nothing (trained from scratch)"
    assert "- Made from: nothing (trained from scratch)\n" in body(own, tmp_path / "own")
    # What finetune writes beside its agent is such a zip, too.
    zipped = own.with_card(source="another").to_sb3(tmp_path / "model.zip")
    taken = rlt.load(zipped, task="CartPole-v1")
    assert fact(taken, "made from") == "unknown"
    shown = body(taken, tmp_path / "taken")
    assert "- Made from: unknown\n" in shown and "scratch" not in shown
    # An agent that rltransfer made from it is none that was imported.
    model = rlt.adapt(taken, "CartPole-v1", "full")
    model.learn(64)
    tuned = Agent.from_model(model, card=CARD)
    assert imported(tuned.card) is None
    assert made_from(taken.with_card(source="x").card) == "x"


def test_an_import_is_no_training_and_tells_nobody_where_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    zipped = tmp_path / "secret place" / "box.zip"
    zipped.parent.mkdir()
    shutil.copy(DATA / "2.0.0" / "box.zip", zipped)
    out = tmp_path / "elsewhere" / "mine"
    given = ["--task", "CartPole-v1", "--no-normalization"]
    assert main(["import", str(zipped), f"--out={out}", *given]) == 0
    assert capsys.readouterr().out.endswith("written to " + f"{out}.safetensors and .json\n")
    agent = rlt.load(out)
    shown = body(agent, tmp_path / "up")
    command = "rltransfer import box.zip --out=mine --task CartPole-v1 --no-normalization"
    assert f"Imported into rltransfer by this one:\n\n```text\n{command}\n```\n" in shown
    assert "By PPO of Stable-Baselines3 `2.0.0`; by which command is not known.\n" in shown
    assert "secret" not in shown and "elsewhere" not in shown and "By this command" not in shown
    # The notes may have been rewritten; the command still says what it is.
    shown = body(agent.with_card(notes=""), tmp_path / "again")
    assert "By an algorithm of Stable-Baselines3; by which" in shown and "secret" not in shown
    # An agent that was there is not lost in silence.
    assert main(["import", str(zipped), f"--out={out}", *given]) == 0
    assert capsys.readouterr().out.endswith(".json, in place of the agent that was there\n")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rltransfer import /a/b.zip --out /c/d", "rltransfer import b.zip --out d"),
        ("rltransfer import ../b.zip --out d/", "rltransfer import b.zip --out d"),
        ("rltransfer import --norm=/a/v.pkl 'C:\\me\\b'", "rltransfer import --norm=v.pkl b"),
        ("rltransfer import b --task ALE/Pong-v5", "rltransfer import b --task ALE/Pong-v5"),
        ("rltransfer import --task=ALE/Pong-v5 /a/b", "rltransfer import --task=ALE/Pong-v5 b"),
        ("rltransfer import b --set a=1 --out /c", "rltransfer import b --set a=1 --out c"),
        ("rltransfer import 'not closed", ""),
    ],
)
def test_the_public_command_names_no_folder(given: str, shown: str) -> None:
    assert public_command(Agent.from_model(CASES["box"](), card=CARD).with_card(
        command=given
    ).card) == shown  # fmt: skip


def test_an_agent_of_another_algorithm_is_called_what_it_is(tmp_path: Path) -> None:
    agent = rlt.read_sb3(DATA / "1.0" / "a2c.zip", task="CartPole-v1").agent
    shown = body(agent, tmp_path / "up")
    assert shown.startswith("\n# A2C on `CartPole-v1`\n\n`a2c` is an A2C agent on `CartPole-v1`,")
    assert "loads it as PPO.\n" in shown and "By A2C of Stable-Baselines3 `1.0`;" in shown
    assert "| hyperparameter |" not in shown and "| defaults for fine-tuning | value |" in shown
    assert "They did not train it: only what means the same to both algorithms is kept." in shown
    assert fact(agent, "trained for") == "32 steps, seed 3, by A2C"
    assert "\n  hyperparameters " not in agent.describe()
    assert fact(agent, "defaults for fine-tuning").startswith("learning_rate=0.0003, n_steps=2048")
    own = tiny_agent()
    assert "| hyperparameter | value |" in body(own, tmp_path / "own")
    assert fact(own, "hyperparameters").startswith("learning_rate=")
    assert "by" not in fact(own, "trained for") and "loads it as it is." in body(
        own, tmp_path / "b"
    )


def test_a_substitute_is_no_hyperparameter_of_the_training(tmp_path: Path) -> None:
    zipped = tmp_path / "box.zip"
    shutil.copy(DATA / "2.0.0" / "box.zip", zipped)
    with_data(zipped, learning_rate=pickled(lambda progress: progress**2 / 100))
    shown = body(rlt.read_sb3(zipped, task="CartPole-v1").agent, tmp_path / "up")
    assert re.search(r"\| `learning_rate` \| `[\d.e-]+` in place of a function \|", shown)
    assert shown.count("in place of a function") == 1
    assert "What its zip does not tell is a default, and need not be what trained it." in shown


def test_the_headline_has_the_task_of_the_training(tmp_path: Path) -> None:
    zipped = tmp_path / "CartPole-v0.zip"
    tiny_agent().with_card(notes="").to_sb3(zipped)
    (tmp_path / "args.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - env\n    - Pendulum-v0\n"
    )
    agent = rlt.read_sb3(zipped).agent
    assert agent.card.task == "Pendulum-v1"
    shown = body(agent, tmp_path / "up")
    assert shown.startswith("\n# PPO on `Pendulum-v0`\n")
    assert "is a PPO agent on `Pendulum-v0` (`Pendulum-v1` today), made for" in shown
    assert fact(agent, "task") == "Pendulum-v1 (trained on Pendulum-v0)"


# ---- the export command ----


def test_export_makes_the_folders_around_it_and_asks_for_a_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_agent().save("a")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "events.out.tfevents.1").write_text("mine")
    assert main(["export", "a", "new/deep/a.zip"]) == 0
    assert capsys.readouterr().out == "new/deep/a.zip: open it with PPO.load of stable_baselines3\n"
    assert main(["export", "a", "other/up", "--to", "hub-folder"]) == 0
    assert "it names no licence: give one with --licence, such as mit" in capsys.readouterr().out
    assert main(["export", "a", "up", "--to", "hub-folder", "--licence", "mit"]) == 0
    assert "licence" not in capsys.readouterr().out
    before = files(tmp_path)
    # A failure takes away the folders that it made, and nothing else.
    for path in ("fresh/one/up", "runs/up"):
        assert main(["export", "a", path, "--to", "hub-folder", "--licence", "A B"]) == 1
        assert "is no licence" in capsys.readouterr().err
        assert files(tmp_path) == before
    assert main(["export", "a", "a.json/x.zip"]) == 1
    err = capsys.readouterr().err
    assert "a.json cannot be written" in err and "--out" not in err


@pytest.mark.parametrize(
    ("case", "words"),
    [("maskable", "MaskablePPO.load of sb3_contrib"), ("recurrent", "RecurrentPPO.load of sb3_")],
)
def test_export_names_the_package_that_opens_the_zip(
    case: str, words: str, tmp_path: Path, capsys: Any
) -> None:
    Agent.from_model(CASES[case](), card=CARD).save(tmp_path / "a")
    assert main(["export", str(tmp_path / "a"), str(tmp_path / "a.zip")]) == 0
    assert words in capsys.readouterr().out


def test_the_card_tells_how_to_install(tmp_path: Path) -> None:
    assert "`pip install '.[hub]'`" in body(tiny_agent(), tmp_path / "up")
