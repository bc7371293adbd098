"""The command, in processes of its own where that matters."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes import MY_TASKS, command, environment, files, run, tiny_agent
from stable_baselines3 import PPO

import rltransfer as rlt
from rltransfer.agents import Agent
from rltransfer.cli import build_parser, listing, main
from rltransfer.cli.tables import table
from rltransfer.experiments import results
from rltransfer.experiments.store import Store
from rltransfer.methods import EWC, L2SP, Kickstart
from rltransfer.presets import recipe

# One short run, whatever it is.
TINY = ("--steps", "64", "--set", "n_steps=16", "batch_size=16", "n_epochs=1")
BRIEF = ("--points", "1", "--episodes", "2", "--jobs", "1")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder outside the repository, with an agent of theirs in it."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_tasks.py").write_text(MY_TASKS)
    done = run(
        *("pretrain", "my_tasks:my/Pole-v0", "--out", "agents/pole", "--n-envs", 2, *TINY),
        *("--normalize-obs", "--set", "gamma=0.9"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("written to agents/pole.safetensors and .json\n")
    return folder


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Path) -> Path:
    """Stand in an empty folder; returns the path of an agent."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return stored


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agents") / "tiny"
    tiny_agent().save(path)
    return path


def test_pretrain_scores_and_tells_how_it_was_made(user: Path) -> None:
    agent = rlt.load(user / "agents/pole")
    card = agent.card
    assert (card.name, card.task, card.steps, card.seed) == ("pole", "my_tasks:my/Pole-v0", 64, 0)
    assert card.score is not None and card.score.episodes == 100
    assert card.command.startswith("rltransfer pretrain my_tasks:my/Pole-v0 --out agents/pole ")
    assert agent.hyperparameters["gamma"] == 0.9 and agent.hyperparameters["n_steps"] == 16
    assert agent.normalization is not None and agent.normalization.obs


def test_check_tests_the_task_of_a_user(user: Path) -> None:
    done = run("check", "my_tasks:my/Pole-v0", cwd=user)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("my_tasks:my/Pole-v0: ok") and "failed" not in done.stdout


def test_evaluate_repeats_the_score_on_the_card(user: Path) -> None:
    # A file may not have the module imported that its card names: the user says it.
    refused = run("evaluate", "agents/pole", cwd=user)
    assert refused.returncode == 1 and "give the task yourself" in refused.stderr
    done = run("evaluate", "agents/pole", "my_tasks:my/Pole-v0", cwd=user)
    score = rlt.load(user / "agents/pole").card.score
    assert score is not None and not done.stderr
    expected = f"my/Pole-v0: {score.mean:.4g} (95 % interval {score.ci_low:.4g} to"
    assert done.stdout.startswith(expected)


def test_finetune_leaves_a_model_a_curve_and_an_agent(user: Path) -> None:
    done = run(
        *("finetune", "agents/pole", "my_tasks:my/Pole-v0", *TINY, "--freeze", "actor.0"),
        *("actor.1", "--freeze", "critic.0", "--thaw", "actor.1=0.3", "--seed", 3),
        cwd=user,
    )
    assert done.returncode == 0 and not done.stderr
    assert re.search(r"^actor.1 .* 30% \(frozen now\)", done.stdout, re.MULTILINE)
    assert re.search(r"^critic.0 .* never \(frozen\)", done.stdout, re.MULTILINE)
    out = user / "runs/pole__Pole-v0__custom__seed3"
    assert f"written to {out.relative_to(user)}" in done.stdout
    kinds = {re.sub(r"events\..*", "events", name) for name in files(out)}
    assert kinds == {
        *("events", "model.zip", "model.vecnormalize.pkl", "result.json"),
        *("agent.json", "agent.safetensors"),
    }
    stored = results.read(out / "result.json")
    assert stored.spec.recipe == {
        "freeze": ["actor.0", "actor.1", "critic.0"],
        "thaw": {"actor.1": 0.3},
    }
    assert rlt.load(out / "agent").card.command.startswith("rltransfer finetune agents/pole ")


def test_benchmark_compares_and_says_where_everything_is(user: Path) -> None:
    options = ("--target", "my_tasks:my/Pole-v0", "--recipes", "full", "--seeds", 2, *BRIEF)
    args = ("benchmark", "--source", "agents/pole", *options, *TINY, "--out", "bench")
    done = run(*args, cwd=user)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        " 25%  finished Pole-v0 scratch seed 0",
        " 50%  finished Pole-v0 full seed 0",
        " 75%  finished Pole-v0 scratch seed 1",
        "100%  finished Pole-v0 full seed 1",
    ]
    assert "too few seeds" in done.stdout and "tensorboard --logdir bench" in done.stdout
    for name in ("Pole-v0.png", "gains.md", "curves.csv", "report.html"):
        assert (user / "bench" / name).stat().st_size > 0
    assert "rltransfer benchmark --source agents/pole" in (user / "bench/report.html").read_text()
    events = user / "bench/events"
    found = {str(p.relative_to(events)) for p in events.glob("Pole-v0/*/*")}
    assert list(events.glob("_sweep/1/events.out.tfevents.*"))
    assert found == {f"Pole-v0/seed{s}/{r}" for s in (0, 1) for r in ("scratch", "full")}
    assert len(list((user / "bench/runs").glob("*.json"))) == 4

    again = run(*args, cwd=user)
    assert again.stdout == done.stdout
    assert again.stderr.splitlines()[-1] == "100%  found Pole-v0 full seed 1"


def test_export_gives_a_zip_for_plain_sb3(user: Path) -> None:
    done = run("export", "agents/pole", "pole", cwd=user)
    assert done.stdout.splitlines()[0].startswith("pole.zip: ") and not done.stderr
    assert "pole.vecnormalize.pkl" in done.stdout and (user / "pole.vecnormalize.pkl").exists()
    model = PPO.load(user / "pole.zip", device="cpu")
    assert type(model) is PPO and model.n_steps == 16


def test_show_finds_agents_pairs_tasks_and_recipes(user: Path, capsys: Any) -> None:
    done = run("show", "agents/pole", cwd=user)
    assert done.stdout.startswith("pole: PPO with MlpPolicy") and "sha256" in done.stdout
    for name, words in {
        "cartpole-long": r"target +rlt/CartPoleLong-v0",
        "rlt/CartPoleLong-v0": r"base +CartPole-v1",
        "gradual": "top_down",
        "l2_sp": r"Recipe\(regularize=L2SP\(strength=0.01",
    }.items():
        assert main(["show", name]) == 0
        assert re.search(words, capsys.readouterr().out)
    assert main(["show", "cartpole-lang"]) == 1
    assert "Did you mean 'cartpole-long'?" in capsys.readouterr().err


def test_ls_is_whole_when_piped(user: Path) -> None:
    done = run("ls", "pairs", cwd=user)
    lines = done.stdout.splitlines()
    assert lines[0] == "PAIRS" and len(lines) == 2 + len(rlt.pairs())
    for line, pair in zip(lines[2:], rlt.pairs().values(), strict=True):
        assert line.startswith(pair.name) and line.endswith(pair.why)
        assert pair.target in line


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_ls_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(listing, "terminal_width", lambda: width)
    assert main(["ls"]) == 0
    text = capsys.readouterr().out
    for title in ("TASKS", "PAIRS", "AGENTS", "RECIPES"):
        assert title in text.splitlines()
    too_wide = [line for line in text.splitlines() if len(line) > width]
    assert not too_wide or width < 80
    for pair in rlt.pairs().values():  # wrapped, but whole
        assert pair.why in " ".join(text.split())


def test_a_table_wraps_folds_or_stays() -> None:
    header, rows = ("name", "steps", "why"), [("a", "10", "one two three four five six seven")]
    assert table(header, rows) == (
        "name  steps  why\na     10     one two three four five six seven"
    )
    wide = len("one two three four five six seven") + 13
    assert table(header, rows, width=wide) == table(header, rows)
    assert table(header, rows, width=wide - 1).splitlines() == [
        "name  steps  why",
        "a     10     one two three four five six",
        "             seven",
    ]
    assert table(header, rows, width=28).splitlines() == [
        "name  steps",
        "    why",
        "a     10",
        "    one two three four five",
        "    six seven",
    ]
    assert table(header, rows, width=9).splitlines()[:2] == ["name", "    steps"]


def _in_a_terminal(*args: object, cwd: Path, columns: int) -> str:
    """Everything that a process writes to a terminal of its own."""
    parent, child = pty.openpty()
    settings = environment(TERM="xterm", COLUMNS=str(columns), LINES="40")
    process = subprocess.Popen(
        command(*args), cwd=cwd, env=settings, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    text, deadline = b"", time.monotonic() + 240
    while time.monotonic() < deadline:
        ended = process.poll() is not None  # before looking: all that it wrote is there by then
        if select.select([parent], [], [], 0.1)[0]:
            try:
                text += os.read(parent, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
        elif ended:
            break
    assert process.wait(60) == 0, text.decode()
    os.close(parent)
    return text.decode()


def test_a_terminal_shows_a_bar_for_all_and_for_each_run(user: Path) -> None:
    shown = _in_a_terminal(
        *("benchmark", "--source", "agents/pole", "--target", "my_tasks:my/Pole-v0", "--seeds", 1),
        *("--recipes", "full", *BRIEF, *TINY, "--out", "shown"),
        cwd=user,
        columns=100,
    )
    assert "all runs" in shown and "128/128" in shown and "left" in shown
    for name in ("Pole-v0 scratch seed 0", "Pole-v0 full seed 0"):
        assert name in shown and f"finished {name}" not in shown
    assert "0/64" in shown and "━" in shown


def test_the_label_says_what_the_recipe_is() -> None:
    from rltransfer.cli.commands import _recipe

    def made(*flags: str) -> tuple[Any, str]:
        args = ["finetune", "a", "CartPole-v1", "--steps", "1", *flags]
        return _recipe(build_parser().parse_args(args))

    assert made() == (rlt.recipes["auto"], "auto")
    assert made("--recipe", "head") == (rlt.recipes["head"], "head")
    assert made("--lr-decay", "0.5") == (rlt.Recipe(lr_decay=0.5), "custom")
    assert made("--pad-inputs") == (rlt.recipes["auto"].but(pad_inputs=True), "custom")
    gradual = rlt.recipes["gradual"].but(reset=["critic.head"], lr_scale={"actor.*": 0.1})
    flags = ("--reset", "critic.head", "--lr-scale", "actor.*=0.1")
    assert made("--recipe", "gradual", *flags) == (gradual, "gradual-custom")
    with pytest.raises(rlt.RecipeError, match="chooses freeze itself: drop"):
        made("--recipe", "auto", "--freeze", "trunk")
    added = rlt.Recipe(retain=Kickstart(strength=0.1, fade="linear"), regularize=L2SP())
    flags = ("--method", "kickstart:strength=0.1,fade=linear", "l2_sp")
    assert made(*flags) == (added, "full-custom")
    assert made("--recipe", "head", "--method", "l2_sp")[1] == "head-custom"
    several = 'ewc:strength=3,tasks=["CartPole-v1","my/Poles-v0"],states=9'
    ewc = EWC(strength=3, tasks=("CartPole-v1", "my/Poles-v0"), states=9)
    assert made("--method", several)[0] == rlt.Recipe(retain=ewc)
    for text, match in (
        ("l2sp", "l2_sp"),
        ("l2_sp:strenth=1", "strength"),
        ("l2_sp:1", "FIELD="),
        ("l2_sp:strength=1,strength=2", "strength twice"),
    ):
        with pytest.raises(rlt.TransferError, match=match):
            made("--method", text)


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    from rltransfer.cli.commands import _recipe

    path = tmp_path / "mine.json"
    given = rlt.Recipe(freeze=["trunk"], thaw={"actor.0": 0.5}, retain=Kickstart())
    path.write_text(given.to_json())
    args = ["finetune", "a", "CartPole-v1", "--steps", "1", "--recipe", str(path)]
    assert _recipe(build_parser().parse_args(args)) == (given, "mine")
    for text, error in (("{", "not JSON"), ("[]", "no JSON object"), ('{"freez": []}', "freeze")):
        path.write_text(text)
        with pytest.raises(rlt.TransferError, match=error):
            recipe(str(path))
    with pytest.raises(rlt.BadArgument, match="cannot be read"):
        recipe(str(tmp_path / "other.json"))


def test_how_environments_are_stepped_changes_no_number(tiny: Path) -> None:
    """Natively or in turn is the same run, and only what was named is noted in its result."""
    options = (*TINY, "--set", "n_envs=2", "--set", "learning_rate=0.01")
    runs = {}
    for vec in ("auto", "native", "sync"):
        flags = [] if vec == "auto" else ["--vec", vec]
        args = ["finetune", tiny, "CartPole-v1", "--recipe", "full", "--out", vec, *options, *flags]
        assert main([str(arg) for arg in args]) == 0
        runs[vec] = results.read(Path(vec) / "result.json")
        noted = json.loads((Path(vec) / "result.json").read_text())["run"]["spec"].get("vec")
        assert noted == (None if vec == "auto" else vec) and runs[vec].spec.vec == vec
    agents = [rlt.load(f"{vec}/agent") for vec in runs] + [rlt.load(tiny)]
    weights = [{k: v.tolist() for k, v in agent.weights.items()} for agent in agents]
    assert len({(run.returns.tobytes(), run.stochastic.tobytes()) for run in runs.values()}) == 1
    assert weights[0] == weights[1] == weights[2] != weights[3]


def test_settings_are_json_or_words() -> None:
    given = ["a=1e-3", "b=true", "c=None", 'd={"start": 1}', "e=word"]
    args = build_parser().parse_args(["finetune", "a", "b", "--steps", "1", "--set", *given])
    assert dict(args.settings) == {
        "a": 1e-3,
        "b": True,
        "c": None,
        "d": {"start": 1},
        "e": "word",
    }


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pretrain", "CartPole-v1", "--out", "x", "--set", "seed=1"], "hyperparameter"),
        (["pretrain", "CartPole-v1", "--out", "x", "--set", "n_envs=1"], "hyperparameter"),
        (["pretrain", "CartPole-v1", "--out", "x", "--set", "gamma=2"], "gamma=2"),
        (["pretrain", "CartPole-v1", "--out", "x", "--n-envs", "0"], "n_envs is 0"),
        (["pretrain", "CartPole-v1", "--out", "x", "--set", "vec=sync"], "hyperparameter"),
        (["pretrain", "rlt/FrozenLakeDry-v0", "--out", "x", "--vec", "native"], "no vectorised"),
        (["pretrain", "rlt/CartPoleLong-v0", "--out", "x", "--vec", "envpool"], "not in envpool"),
        (["pretrain", "CartPole-v1", "--out", "x.zip"], "without .zip"),
        (["pretrain", "CartPole-v1", "--out", ".."], "is a folder"),
        (["finetune", "{tiny}", "CartPole-v1", "--set", "label=a"], "hyperparameter"),
        (["finetune", "{tiny}", "CartPole-v1", "--seed", "-1"], "seed is -1"),
        (["finetune", "{tiny}", "CartPole-v1", "--device", "tpu"], "tpu"),
        (["finetune", "{tiny}", "CartPole-v1", "--recipe", "heads"], "'head'?"),
        (["benchmark", "--source", "{tiny}"], "--pair NAME"),
        (["benchmark", "--target", "CartPole-v1"], "--source AGENT"),
        (["benchmark", "--pair", "cartpole-lang"], "'cartpole-long'?"),
        (["benchmark", "--pair", "mountaincar-weak"], "rltransfer pretrain MountainCar-v0"),
        (["benchmark", "--source", "{tiny}", "--pair", "cartpole-long", "--seeds", "0"], "seeds"),
        (["benchmark", "--source", "{tiny}", "--pair", "cartpole-long", "--jobs", "0"], "jobs"),
        (["benchmark", "--source", "{tiny}", "--pair", "cartpole-long", "--points", "0"], "points"),
        (["export", "{tiny}", "/dev/null/new/x.zip"], "/dev/null/new cannot be written"),
        (["export", "{tiny}", "."], "is a folder"),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(
    tiny: Path, args: list[str], words: str, capsys: Any
) -> None:
    steps = [] if args[0] == "export" else ["--steps", "64"]
    assert main([arg.format(tiny=tiny) for arg in [*args, *steps]]) == 1
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1
    assert err.startswith("error: ") and words in err
    assert files(Path()) == {}


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["lss"],
        ["finetune", "a", "b"],
        ["finetune", "a", "b", "--steps", "many"],
        ["finetune", "a", "b", "--steps", "1", "--vec", "threads"],
        ["finetune", "a", "b", "--steps", "1", "--thaw", "actor.1"],
        ["finetune", "a", "b", "--steps", "1", "--set", "gamma"],
    ],
)
def test_a_command_line_that_makes_no_sense_shows_the_usage(args: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: rltransfer")


def test_flags_may_be_repeated() -> None:
    args = build_parser().parse_args(
        ["benchmark", "--pair", "a,b", "--pair", "c", "--recipes", "full", "--recipes", "head,"]
    )
    assert args.pairs == ["a", "b", "c"] and args.recipes == ["full", "head"]
    assert build_parser().parse_args(["benchmark"]).pairs == []


def test_a_reader_that_has_seen_enough_is_no_error(user: Path) -> None:
    pipe = subprocess.Popen(
        command("ls"),
        cwd=user,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert pipe.stdout is not None and pipe.stderr is not None
    pipe.stdout.close()
    assert pipe.stderr.read() == b""
    pipe.stderr.close()
    assert pipe.wait(240) == 0


def test_an_agent_whose_card_was_made_here_says_the_command(tiny: Path, capsys: Any) -> None:
    args = ["pretrain", "CartPole-v1", *TINY, "--n-envs", "1", "--out", "new folder/a"]
    assert main(args) == 0
    agent = Agent.read("new folder/a")
    assert agent.card.command.endswith("--out 'new folder/a'")
    assert json.loads(Path("new folder/a.json").read_text())["card"]["name"] == "a"
    capsys.readouterr()


def test_statistics_are_chosen_for_every_recipe_but_the_control(user: Path) -> None:
    done = run(
        *("benchmark", "--source", "agents/pole", "--target", "my_tasks:my/Pole-v0", *TINY),
        *(*BRIEF, "--seeds", 1, "--recipes", "full,head", "--obs-stats", "freeze"),
        cwd=user,
    )
    assert done.returncode == 0, done.stderr
    kept = {run.spec.label: run.spec.recipe["obs_stats"] for run, _ in Store(user / "runs").runs()}
    assert kept == {
        "scratch": "reset",
        "full-freeze-stats": "freeze",
        "head-freeze-stats": "freeze",
    }
    refused = run("benchmark", "--pair", "cartpole-long", "--obs-stats", "frozen", cwd=user)
    assert refused.returncode == 2 and "freeze" in refused.stderr
