"""Sweeps whose results survive anything: other processes, errors, Ctrl-C and kill -9."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from processes import MY_TASKS, command, environment, files, tiny_agent
from stable_baselines3 import PPO
from stable_baselines3.common.utils import LinearSchedule

import rltransfer as rlt
from rltransfer.agents import Agent
from rltransfer.errors import (
    BadArgument,
    BadCheckpoint,
    NotWritable,
    SpaceMismatch,
    SweepFailed,
    TransferError,
    UnknownName,
)
from rltransfer.experiments import Job, Run, RunSpec, results, sweep
from rltransfer.experiments.benchmark import Case, benchmark, case_of
from rltransfer.experiments.folders import attempt
from rltransfer.experiments.planning import Comparing
from rltransfer.experiments.store import Store
from rltransfer.presets import recipe
from rltransfer.recipe import Recipe

SMALL: dict[str, Any] = {"steps": 128, "points": 2, "episodes": 3}
TRACES = "events.out.tfevents.*"


@pytest.fixture(scope="module")
def agent() -> Agent:
    return tiny_agent()


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's module, importable here and in workers."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_tasks.py").write_text(MY_TASKS)
    sys.path.insert(0, str(folder))
    return folder


@pytest.fixture
def spec(agent: Agent) -> RunSpec:
    return RunSpec.of(agent, "CartPole-v1", Recipe(), label="full", seed=0, **SMALL)


def assert_same_curves(first: list[Run] | tuple[Run, ...], second: Any) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.spec == other.spec
        for name in ("steps", "returns", "stochastic"):
            a, b = getattr(one, name), getattr(other, name)
            assert a.dtype == b.dtype and np.array_equal(a, b), (one.spec.label, name)


def test_a_spec_is_data_and_stays_itself_in_json(spec: RunSpec) -> None:
    given = replace(
        spec,
        recipe={"inputs": (0, 1, None), "thaw": {"actor.0": np.float64(0.5)}},
        seed=np.int64(3),
        steps=np.float64(128),
        hyperparameters={
            "learning_rate": LinearSchedule(1e-3, 0.0, 1.0),
            "n_steps": np.int32(16),
        },
    )
    stored = RunSpec(**json.loads(json.dumps(given.__dict__)))
    assert stored == given and hash(stored) == hash(given)
    assert given.recipe["inputs"] == [0, 1, None] and type(given.seed) is int
    assert given.hyperparameters["learning_rate"] == {"start": 1e-3, "end": 0.0, "end_fraction": 1}
    assert hash(Job("a", given)) == hash(Job("a", stored))
    assert spec != given and {spec: 1}[replace(given, **spec.__dict__)] == 1


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"steps": 0}, BadArgument, "steps is 0"),
        ({"steps": 1.5}, BadArgument, "steps is 1.5"),
        ({"seed": -1}, BadArgument, "seed is -1"),
        ({"seed": 1_000_000}, BadArgument, "below 1000000"),
        ({"seed": True}, BadArgument, "seed is True"),
        ({"points": 0}, BadArgument, "points is 0"),
        ({"episodes": 2.0}, BadArgument, "episodes is 2.0"),
        ({"max_steps": 0}, BadArgument, "max_steps is 0"),
        ({"hyperparameters": {"learning_rate": lambda p: p}}, BadArgument, "a function"),
        ({"hyperparameters": {"gamma": float("nan")}}, BadArgument, "stored as data"),
        ({"recipe": {"inputs": {1, 2}}}, BadArgument, "a set"),
    ],
)
def test_a_spec_refuses_what_cannot_be_a_run(spec, change, error, words) -> None:
    with pytest.raises(error, match=words):
        replace(spec, **change)


def test_a_spec_knows_the_whole_agent_and_the_target(agent: Agent, spec: RunSpec) -> None:
    other = replace(agent, hyperparameters={**agent.hyperparameters, "gamma": 0.9})
    assert RunSpec.of(other, "CartPole-v1", Recipe(), label="full", seed=0, **SMALL) != spec
    hashes = set()
    for length in (1.0, 2.0):
        gym.register("exp/Hash-v0", "my_tasks:Pole", kwargs={"length": length})
        try:
            made = RunSpec.of(agent, "exp/Hash-v0", Recipe(), label="full", seed=0, **SMALL)
        finally:
            del gym.registry["exp/Hash-v0"]
        hashes.add(made.target_hash)
    assert len(hashes) == 2 and "" not in hashes


def test_a_result_is_stored_exactly_and_another_is_refused(
    agent: Agent, spec: RunSpec, tmp_path: Path
) -> None:
    (run,) = sweep([Job("a", spec)], [agent])
    results.save(tmp_path, run)
    again = results.find(tmp_path, spec)
    assert again is not None and again.versions == run.versions and again.choice == run.choice
    assert_same_curves([run], [again])
    uneven = replace(run, returns=run.returns / 3, stochastic=run.stochastic / 7)
    results.save(tmp_path / "uneven", uneven)
    found = results.find(tmp_path / "uneven", spec)
    assert found is not None
    assert_same_curves([uneven], [found])
    assert run.steps[0] == 0 and run.steps[-1] == 128 and run.returns.shape == (3, 3)

    with pytest.raises(BadArgument, match="another steps, seed: choose another folder"):
        results.find(tmp_path, replace(spec, seed=1, steps=256))
    text = (tmp_path / "result.json").read_text()
    for broken in (text[:-20], "[]", text.replace('"steps": [0,', '"steps": [0, 1,'), "{}"):
        (tmp_path / "result.json").write_text(broken)
        with pytest.raises(BadCheckpoint, match=r"result\.json is not the result.*remove it"):
            results.find(tmp_path, spec)


def jobs_of(agent: Agent, target: str, arms: Any, *, label: str, seed: int) -> Sequence[Job]:
    settings = dict(SMALL)
    steps = settings.pop("steps")
    compared = Comparing(
        label=label,
        sources=[agent],
        target=target,
        recipes=arms,
        steps=steps,
        settings=settings,
    )
    return compared.plan([seed]).jobs


def test_processes_do_not_change_results(
    agent: Agent, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it matter that a worker has to be told of ids that only this process registered."""
    gym.register("exp/Here-v0", "my_tasks:Pole", kwargs={"length": 1.5}, max_episode_steps=20)
    rlt.register_task("exp/Here-v0", random=10.0, reference=20.0)
    seen: dict[str, list[int]] = {}
    watch = lambda name, steps, total: seen.setdefault(name, []).append(steps)  # noqa: E731
    arms = {"scratch": recipe("scratch"), "auto": recipe("auto")}
    planned = [
        *jobs_of(agent, "exp/Here-v0", arms, label="here", seed=0),
        *jobs_of(agent, "my_tasks:my/Pole-v0", arms, label="mine", seed=7),
    ]
    torch.set_num_threads(2)  # must not matter either
    one = sweep(planned, [agent], out=tmp_path / "one")
    torch.set_num_threads(1)
    two = sweep(planned, [agent], out=tmp_path / "two", processes=2, watch=watch)
    assert_same_curves(one, two)
    # The same seed in the same process is no other seed, and no other task.
    assert not np.array_equal(one[0].stochastic, one[2].stochastic)

    assert set(seen) == {job.name for job in planned}
    for steps in seen.values():
        assert steps[0] == 0 and steps[-1] == 128 and steps.count(128) == 1
    for name in ("here/seed0", "mine/seed7"):
        for arm in arms:
            assert len(list((tmp_path / "two/events" / name / arm).glob(TRACES))) == 1
    # Nothing is trained again.
    before = files(tmp_path)
    assert_same_curves(one, sweep(planned, [agent], out=tmp_path / "two", processes=2))
    assert files(tmp_path) == before


def test_what_a_worker_cannot_import_is_refused_before_training(
    agent: Agent, tmp_path: Path
) -> None:
    gym.register("exp/Lambda-v0", lambda **kwargs: CartPoleEnv(**kwargs), max_episode_steps=20)
    options: dict[str, Any] = {"seeds": 1, "out": tmp_path / "runs", **SMALL}
    with pytest.raises(BadArgument, match="'my_tasks:Pole', or use one process"):
        rlt.measure(agent, "exp/Lambda-v0", "full", jobs=2, **options)
    assert not (tmp_path / "runs").exists()
    assert rlt.measure(agent, "exp/Lambda-v0", "full", **options).runs[0].spec.target_hash == ""


def test_a_run_that_fails_has_its_name_and_stops_no_other(
    agent: Agent, tasks: Path, tmp_path: Path
) -> None:
    jobs = [
        Job(label, RunSpec.of(agent, task, Recipe(), label="full", seed=5, **SMALL))
        for label, task in (("bad", "my_tasks:my/NaNReward-v0"), ("good", "CartPole-v1"))
    ]
    for processes in (2, 1):
        out = tmp_path / str(processes)
        words = (
            r"^1 of 2 runs ended without a result, the others are kept: "
            r"bad full seed 5: bad environment: my/NaNReward-v0, .*reward"
        )
        with pytest.raises(SweepFailed, match=words):
            sweep(jobs, [agent], out=out, processes=processes)
        kept = Store(out)
        assert kept.find(jobs[1].spec) is not None and kept.find(jobs[0].spec) is None
        (failed,) = kept.outcomes()
        assert (failed.id, failed.status) == (jobs[0].spec.id, "bad environment")
        assert [path.parent.parent.parent.name for path in out.rglob(TRACES)] == ["good"]


def test_what_cannot_work_is_refused_before_anything_is_trained(
    agent: Agent, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    cases: list[tuple[dict[str, Any], type[TransferError], str]] = [
        ({"target": "FrozenLake-v1"}, SpaceMismatch, "^FrozenLake-v1 full: "),
        ({"recipe": Recipe(freeze=["actor.9"])}, UnknownName, "CartPole-v1 recipe: .*actor.1"),
        ({"n_steps": 0}, BadArgument, "n_steps"),
        ({"batch_size": 1}, BadArgument, "^CartPole-v1 scratch: .*batch_size"),
        ({"learning_rat": 1.0}, UnknownName, "learning_rate"),
        ({"device": "tpu"}, BadArgument, "device"),
        ({"jobs": 0}, BadArgument, "jobs is 0"),
        ({"seeds": 0}, BadArgument, "seeds is 0"),
        ({"seeds": [1, 1]}, BadArgument, "different seeds"),
        ({"seeds": "3"}, BadArgument, "seeds is '3'"),
        ({"seeds": [0.5]}, BadArgument, "seed is 0.5"),
        ({"recipe": {"scratch": Recipe()}}, BadArgument, "another name"),
        ({"recipe": [Recipe()]}, BadArgument, "name your recipes"),
        ({"recipe": {"../x": Recipe()}}, BadArgument, "without /"),
        ({"label": ".."}, BadArgument, r"called '\.\.'"),
        ({"target": "NoSuch-v0"}, UnknownName, "NoSuch-v0"),
    ]
    for change, error, words in cases:
        settings = {"target": "CartPole-v1", "recipe": "full", "seeds": 1, "out": out, **SMALL}
        with pytest.raises(error, match=words):
            rlt.measure(agent, **{**settings, **change})
        assert not out.exists(), change
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable, match="choose another folder"):
        rlt.measure(agent, "CartPole-v1", "full", seeds=1, out=tmp_path / "file/runs", **SMALL)
    with pytest.raises(NotWritable, match="choose another folder"):
        rlt.finetune(agent, "CartPole-v1", "full", out=tmp_path / "file", **SMALL)


def test_a_task_without_time_limit_needs_max_steps(
    agent: Agent, tasks: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadArgument, match="max_steps"):
        rlt.finetune(agent, "my_tasks:my/Endless-v0", "full", out=tmp_path / "a", **SMALL)
    assert not (tmp_path / "a").exists()
    gain = rlt.measure(agent, "my_tasks:my/Endless-v0", "full", seeds=1, max_steps=9, **SMALL)
    assert all((run.returns <= 9).all() for run in gain.runs)
    done = rlt.finetune(
        agent, "my_tasks:my/Endless-v0", "full", out=tmp_path / "a", max_steps=9, **SMALL
    )
    score = rlt.load(tmp_path / "a/agent").card.score
    assert score is not None and score.mean <= 9 and done.run.spec.max_steps == 9


def test_each_run_has_its_own_source_though_names_are_the_same(
    agent: Agent, tmp_path: Path
) -> None:
    stubborn = {**agent.weights, "action_net.bias": torch.tensor([9.0, -9.0])}
    other = replace(agent, weights=stubborn)
    cases = [
        Case(label=label, source=source, target="CartPole-v1", steps=64)
        for label, source in (("a", agent), ("b", other))
    ]
    arms = {"scratch": recipe("scratch"), "full": recipe("full")}
    both = benchmark(cases, arms, seeds=[0], out=tmp_path, points=1, episodes=3)
    alone = rlt.measure(other, "CartPole-v1", "full", steps=64, seeds=1, points=1, episodes=3)
    assert np.array_equal(both[1].runs[1].stochastic, alone.runs[1].stochastic)
    assert not np.array_equal(both[0].runs[1].stochastic, alone.runs[1].stochastic)
    with pytest.raises(BadArgument, match="each label once"):
        benchmark([cases[0]] * 2, arms, seeds=[0], out=tmp_path / "x")


def test_a_benchmark_writes_what_it_found(agent: Agent, tmp_path: Path) -> None:
    case = case_of("cartpole-weak", source=None, steps=64)
    case = replace(case, source=agent)
    assert (
        case.expect == "help"
        and case_of("cartpole-weak").steps == rlt.pairs()["cartpole-weak"].steps
    )
    with pytest.raises(BadArgument, match="rltransfer pretrain MountainCar-v0 --steps N"):
        case_of("mountaincar-weak")
    (gain,) = benchmark(
        [case],
        {name: recipe(name) for name in ("scratch", "gradual")},
        seeds=[0, 3],
        out=tmp_path,
        command="rltransfer benchmark --pair cartpole-weak",
        points=2,
        episodes=3,
    )
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    runs = {(run.spec.label, run.spec.seed): run for run in gain.runs}
    assert len(rows) == sum(len(run.steps) for run in gain.runs) and len(runs) == 4
    for row in rows:
        run = runs[row["recipe"], int(row["seed"])]
        i = run.steps.tolist().index(int(row["steps"]))
        assert float(row["return"]) == pytest.approx(run.returns[i].mean(), abs=1e-3)
        assert float(row["stochastic"]) == pytest.approx(run.stochastic[i].mean(), abs=1e-3)
    page = (tmp_path / "report.html").read_text()
    assert "cartpole-weak" in page and "rltransfer benchmark --pair" in page
    assert (tmp_path / "cartpole-weak.png").read_bytes().startswith(b"\x89PNG")
    assert "gradual" in (tmp_path / "gains.md").read_text() and "gradual" in str(gain)


def test_finetuning_keeps_a_plain_model_an_agent_and_the_curve(
    agent: Agent, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    out = tmp_path / "ft"
    done = rlt.finetune(
        agent,
        "CartPole-v1",
        Recipe(freeze=["trunk"]),
        out=out,
        label="mine",
        command="made by hand",
        report=lambda steps, total: told.append((steps, total)),
        learning_rate=1e-3,
        **SMALL,
    )
    assert told[0] == (0, 128) and told[-1] == (128, 128)
    (events,) = out.glob(TRACES)
    expected = {events.name, "model.zip", "agent.json", "agent.safetensors", "result.json"}
    assert set(files(out)) == expected

    plain, kept = PPO.load(out / "model.zip", device="cpu"), rlt.load(out / "agent")
    assert type(plain) is PPO
    for name, tensor in plain.policy.state_dict().items():
        assert torch.equal(tensor, done.model.policy.state_dict()[name])
        assert torch.equal(tensor, kept.weights[name])
    card = kept.card
    assert (card.source, card.task, card.command) == ("tiny", "CartPole-v1", "made by hand")
    assert card.score is not None and card.score.episodes == 100
    assert "CartPole-v1: mean return" in str(done) and str(out) in str(done)

    with pytest.raises(BadArgument, match="another seed"):
        rlt.finetune(
            agent, "CartPole-v1", Recipe(freeze=["trunk"]), out=out, label="mine", seed=1,
            learning_rate=1e-3, **SMALL,
        )  # fmt: skip
    assert [*out.glob(TRACES)] == [events]
    again = rlt.finetune(
        agent, "CartPole-v1", Recipe(freeze=["trunk"]), out=out, label="mine",
        learning_rate=1e-3, **SMALL,
    )  # fmt: skip
    assert_same_curves([done.run], [again.run])
    assert len(list(out.glob(TRACES))) == 1 and [*out.glob(TRACES)] != [events]


def test_an_attempt_that_fails_takes_its_traces_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    with pytest.raises(RuntimeError), attempt(folder):
        folder.mkdir(parents=True)
        (folder / "events.out.tfevents.1").touch()
        raise RuntimeError
    assert not (tmp_path / "a").exists()

    folder.mkdir(parents=True)
    for name in ("events.out.tfevents.old", ".result.json.12.tmp", "notes.txt"):
        (folder / name).touch()
    with attempt(folder):  # after kill -9
        assert {*files(folder)} == {"notes.txt"}
        (folder / "events.out.tfevents.new").touch()
        (folder / "result.json").touch()
    assert {*files(folder)} == {"notes.txt", "events.out.tfevents.new", "result.json"}
    with pytest.raises(KeyboardInterrupt), attempt(folder):
        (folder / "events.out.tfevents.newer").touch()
        raise KeyboardInterrupt
    assert {*files(folder)} == {"notes.txt", "events.out.tfevents.new", "result.json"}


def _start(folder: Path, source: Path, out: str, *, jobs: int) -> subprocess.Popen[str]:
    """A sweep of 6 runs, in a process group of its own, to be stopped after the first."""
    return subprocess.Popen(
        command(
            *("benchmark", "--source", source, "--target", "CartPole-v1", "--recipes", "full,head"),
            *("--steps", 3072, "--points", 2, "--episodes", 40, "--seeds", 2, "--jobs", jobs),
            *("--out", out),
        ),
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A test run in the background of a script inherits that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def _wait_for_results(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while len(list(folder.glob("runs/*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _group_is_gone(group: int) -> bool:
    deadline = time.monotonic() + 120
    while _members(group):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _members(group: int) -> list[str]:
    """Processes of a group that still run; a zombie does not, it waits for the init process."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = path.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                members.append(path.parent.name)
    return members


@pytest.mark.parametrize(
    ("how", "jobs"), [(signal.SIGKILL, 2), (signal.SIGINT, 2), (signal.SIGINT, 1)]
)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_sweep_that_was_stopped_goes_on_where_it_was(
    agent: Agent, tmp_path: Path, how: signal.Signals, jobs: int
) -> None:
    agent.save(tmp_path / "tiny")
    process = _start(tmp_path, tmp_path / "tiny", "runs", jobs=jobs)
    _wait_for_results(tmp_path / "runs", 1, process)
    if how == signal.SIGKILL:
        process.kill()  # the workers must notice by themselves
    else:
        os.killpg(process.pid, how)  # as a terminal does
    _, errors = process.communicate(timeout=240)
    assert _group_is_gone(process.pid), "workers outlive their sweep"
    finished = {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/runs/*.json")}
    assert 1 <= len(finished) < 6
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert errors.splitlines()[-1] == "interrupted; finished runs are kept"
        assert "Traceback" not in errors
        left = _traces_of_runs(tmp_path)
        assert jobs == 2 or len(left) == len(finished)

    settings: dict[str, Any] = {"steps": 3072, "points": 2, "episodes": 40, "seeds": 2}
    resumed = rlt.measure(agent, "CartPole-v1", ["full", "head"], out=tmp_path / "runs", **settings)
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    assert len(_traces_of_runs(tmp_path)) == len(list(tmp_path.glob("runs/runs/*.json"))) == 6
    assert_same_curves(resumed.runs, _undisturbed(agent, settings))


def _traces_of_runs(folder: Path) -> list[Path]:
    """Events of runs, without those of the progress of sweeps."""
    return [path for path in folder.rglob(TRACES) if "_sweep" not in path.parts]


_kept: list[tuple[Run, ...]] = []


def _undisturbed(agent: Agent, settings: dict[str, Any]) -> tuple[Run, ...]:
    if not _kept:
        _kept.append(rlt.measure(agent, "CartPole-v1", ["full", "head"], **settings).runs)
    return _kept[0]


def test_a_small_network_gets_one_thread_and_a_large_one_all(agent: Agent) -> None:
    seen: dict[str, set[int]] = {"small": set(), "large": set(), "sweep": set()}

    def note(name: str, steps: int, total: int) -> None:
        if 0 < steps < total:
            seen[name].add(torch.get_num_threads())

    large = tiny_agent(policy_kwargs={"net_arch": [400, 400]}, n_epochs=1, episodes=2)
    brief: dict[str, Any] = {**SMALL, "points": 1, "max_steps": 3, "n_epochs": 1}
    torch.set_num_threads(2)
    try:
        for name, source in (("small", agent), ("large", large)):
            rlt.finetune(source, "CartPole-v1", "full", report=partial(note, name), **brief)
        watch = lambda run, steps, total: note("sweep", steps, total)  # noqa: E731
        rlt.measure(large, "CartPole-v1", "full", seeds=1, watch=watch, **brief)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == {"small": {1}, "large": {2}, "sweep": {1}}
