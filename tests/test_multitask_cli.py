"""Training many tasks from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import packed_cases as cases
import pytest

import rltransfer as rlt
from rltransfer.cli import main
from rltransfer.cli.multitask import FLAGS
from rltransfer.cli.parser import build_parser

VECTOR, OTHER, CONTINUOUS = "small/vector-v0", "small/other-v0", "small/continuous-v0"
SMALL = ["--n-envs", "2", "--set", "n_steps=16", "n_epochs=1", "--points", "1", "--episodes", "3"]
SHAPE = ["--width", "8", "--sizes", "8"]


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    cases.register()


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pretrain(*words: str, tasks: str = f"{VECTOR},{CONTINUOUS}", out: str = "trunk") -> int:
    steps = () if "--steps" in words else ("--steps", "64")
    return main(["pretrain", "--tasks", tasks, *steps, "--out", out, *SMALL, *words])


def test_a_trunk_is_trained_shown_and_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain(*SHAPE, "--seed", "5") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("trunk: 64 steps on 2 task(s)") and "trunk.safetensors" in printed
    agent = rlt.load("trunk")
    assert agent.tasks == (VECTOR, CONTINUOUS) and agent.card.seed == 5
    assert agent.card.command.startswith(f"rltransfer pretrain --tasks {VECTOR},{CONTINUOUS} ")
    assert main(["show", "trunk"]) == 0
    shown = capsys.readouterr().out
    for id, score in agent.card.scores.items():
        assert f"{id}: {score.mean:.4g} (95% interval" in shown
    assert main(["evaluate", f"trunk#{VECTOR}", "--episodes", "3"]) == 0
    assert f"{VECTOR}: {agent.card.scores[VECTOR].mean:.4g}" in capsys.readouterr().out
    assert main(["evaluate", "trunk", VECTOR, "--episodes", "3"]) == 0
    alone = capsys.readouterr().out
    assert main(["evaluate", "trunk", "--episodes", "3"]) == 0
    both = capsys.readouterr().out
    assert both.startswith(alone) and both.splitlines()[1].startswith(CONTINUOUS)
    head, *rows = Path("trunk.curve.csv").read_text().splitlines()
    assert head == "step,task,mean,ci_low,ci_high,normalized"
    assert [row.split(",")[:2] for row in rows] == [
        [str(step), id] for step in (0, 64) for id in agent.tasks
    ]
    words = ["--recipe", "full", "--steps", "64", "--out", "tuned", "--set", "n_steps=16"]
    assert main(["finetune", f"trunk#{VECTOR}", VECTOR, *words]) == 0
    assert rlt.load("tuned/agent").card.source == f"trunk#{VECTOR}"


def test_a_trunk_goes_on_with_another_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain(*SHAPE) == 0
    first = rlt.load("trunk")
    words = ["--start", "trunk", "--recipe", "head", "--lr-scale", f"encoder.{OTHER}=0.5"]
    assert pretrain(*words, tasks=OTHER, out="folder/more") == 0
    assert "in return; rltransfer.register_task gives it a scale" in capsys.readouterr().out
    agent = rlt.load("folder/more")
    assert agent.tasks == (VECTOR, CONTINUOUS, OTHER)
    assert agent.card.name == "more" and agent.card.source == "trunk"
    assert agent.card.scores[VECTOR] == first.card.scores[VECTOR], "its trunk was frozen"


def test_every_flag_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    kept = rlt.multitask

    def watched(tasks: Any, steps: int, **options: Any) -> Any:
        seen.update(options, tasks=tasks, steps=steps)
        return kept(tasks, steps, **options)

    monkeypatch.setattr("rltransfer.cli.multitask.multitask", watched)
    flags = [
        *("--weights", f"{VECTOR}=3,{CONTINUOUS}=1", "--gamma", f"{VECTOR}=0.9"),
        *("--noise", f"{CONTINUOUS}=0.5", "--log-std", f"{CONTINUOUS}=-0.5"),
        *("--encoders", "shared", "--heads", "shared"),
        *("--width", "8", "--encoder-kind", "auto", "--trunk", "moore", "--sizes", "8,6"),
        *("--trunk-set", "experts=3", "--conditioning", "sentence", "--share-critic"),
        *("--mission", f"{VECTOR}=count a=b", f"{CONTINUOUS}=go", "--no-normalize-obs"),
        *("--gradient", "pcgrad", "--tensorboard", "events", "--freeze", "trunk.0"),
        *("--thaw", "trunk.0=0.5", "--lr-decay", "0.9", "--vec", "sync", "--max-steps", "4"),
    ]
    assert pretrain(*flags) == 0
    expected = {
        "tasks": [VECTOR, CONTINUOUS],
        "steps": 64,
        "weights": {VECTOR: 3.0, CONTINUOUS: 1.0},
        "task_options": {VECTOR: {"gamma": 0.9}, CONTINUOUS: {"noise": 0.5, "log_std": -0.5}},
        "encoders": "shared",
        "heads": "shared",
        "width": 8,
        "encoder_kind": "auto",
        "trunk": "moore",
        "sizes": [8, 6],
        "trunk_kwargs": {"experts": 3},
        "conditioning": "sentence",
        "missions": {VECTOR: "count a=b", CONTINUOUS: "go"},
        "share_critic": True,
        "normalize_obs": False,
        "options": rlt.MultiTaskOptions(gradient="pcgrad"),
        "tensorboard_log": "events",
        "recipe": rlt.Recipe(freeze=["trunk.0"], thaw={"trunk.0": 0.5}, lr_decay=0.9),
        "points": 1,
        "episodes": 3,
        "n_envs": 2,
        "n_steps": 16,
        "vec": "sync",
        "max_steps": 4,
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert list(Path("events").iterdir())


def test_progress_weights() -> None:
    assert pretrain(*SHAPE, "--weights", "progress", "--steps", "128") == 0


def test_all_flags_of_many_tasks_are_known() -> None:
    args = build_parser().parse_args(["pretrain", "A", "--steps", "1", "--out", "x"])
    assert all(getattr(args, name) is None for name in FLAGS), "none has a default of its own"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gamma", "small/vectr-v0=0.9"], "Did you mean 'small/vector-v0'"),
        (["--weights", "much"], "--weights has 'much'"),
        (["--weights", f"{VECTOR}=-1,{CONTINUOUS}=1"], f"the weight of {VECTOR} is -1.0"),
        (["--sizes", "8,x"], "--sizes has 'x'"),
        (["--normalize-reward"], "leave it out"),
        (["--algorithm", "maskable_ppo"], "masks are used wherever a task has them"),
        (["--start", "nobody"], "no agent is named 'nobody'"),
        (["--recipe", "scratch"], "without a start takes freeze"),
        (["--steps", "3"], "one rollout takes 64"),
        (["--source", f"{VECTOR}=cartpole"], "there is no start"),
        (["--set", "gama=0.9"], "Did you mean 'gamma'"),
    ],
)
def test_what_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(*words) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x"], "give a task, or several with --tasks"),
        ([VECTOR, "--out", "x", "--tasks", OTHER], f"'{VECTOR}' is given beside --tasks"),
        ([VECTOR, "--out", "x", "--trunk", "moore"], "--trunk is for many tasks"),
        ([VECTOR, "--out", "x", "--lr-scale", "a=1"], "--lr-scale is for many tasks"),
        (["--tasks", ",", "--out", "x"], "tasks is empty"),
    ],
)
def test_one_task_or_many(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", "--steps", "64", *words]) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())


@pytest.mark.parametrize("flag", ["--thaw", "--mission", "--trunk-set"])
def test_values_need_a_name(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        pretrain(flag, "nothing")
    assert "expected NAME=" in capsys.readouterr().err


def test_ctrl_c_does_not_claim_that_something_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rltransfer.cli.multitask.multitask", stopped)
    assert pretrain() == 130
    assert capsys.readouterr().err == "interrupted; nothing was written\n"
    assert not list(Path().iterdir())
