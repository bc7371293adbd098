"""The store: written once, checked to the last bit, shared by anybody."""

from __future__ import annotations

import errno
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import environment, run, tiny_agent

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, BadCheckpoint, NotWritable
from rltransfer.experiments import Job, Run, RunSpec, events, folders, sweep
from rltransfer.experiments.engines import Limits
from rltransfer.experiments.index import write_index
from rltransfer.experiments.once import write_once
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.store import Store
from rltransfer.experiments.worker import failure
from rltransfer.presets import recipe
from rltransfer.recipe import Recipe

SMALL = {"steps": 64, "points": 1, "episodes": 2}


@pytest.fixture(scope="module")
def agent() -> Agent:
    return tiny_agent()


@pytest.fixture(scope="module")
def spec(agent: Agent) -> RunSpec:
    return RunSpec.of(agent, "CartPole-v1", Recipe(), label="full", seed=0, **SMALL)


@pytest.fixture(scope="module")
def run_of(agent: Agent, spec: RunSpec) -> Run:
    return sweep([Job("a", spec)], [agent])[0]


def test_a_result_is_found_by_what_was_done_whatever_it_is_called(
    agent: Agent, spec: RunSpec, run_of: Run, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    assert store.find(spec) is None and store.publish(run_of, names=[])
    renamed = replace(spec, label="other", vec="sync", source="elsewhere")
    found = store.find(renamed)
    assert found is not None and found.spec == renamed
    assert np.array_equal(found.returns, run_of.returns)
    assert store.find(replace(spec, seed=1)) is None
    ((read, notes),) = store.runs()
    assert read.spec.source_hash == agent.sha256[:16] and notes["host"] == os.uname().nodename

    # Arms with equal specs share one run, each under its own name.
    runs = sweep([Job("a", spec), Job("b", renamed)], [agent], out=tmp_path / "shared")
    assert [one.spec.label for one in runs] == ["full", "other"]
    assert len(list((tmp_path / "shared/runs").iterdir())) == 1


def test_the_first_writer_stays(run_of: Run, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.publish(run_of, names=[])
    content = store.result(run_of.spec.id).read_bytes()
    assert not store.publish(replace(run_of, seconds=9.0), names=[])
    assert store.result(run_of.spec.id).read_bytes() == content
    assert not list(tmp_path.rglob("*.tmp"))


def test_many_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rltransfer.experiments.once import write_once\n"
        "print(write_once(Path(sys.argv[1]), sys.argv[2].encode() * 10**6))"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "file"), letter],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in "abc"
    ]
    first = [writer.communicate()[0].strip() for writer in writers]
    content = (tmp_path / "file").read_bytes()
    assert sorted(first) == ["False", "False", "True"]
    assert content == b"abc"[first.index("True") :][:1] * 10**6
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_does_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert write_once(tmp_path / "a", b"1") and not write_once(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_every_flipped_bit_and_every_cut_is_noticed(run_of: Run, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.publish(run_of, names=[])
    path = store.result(run_of.spec.id)
    content, chance = path.read_bytes(), random.Random(0)
    for at in [*range(80), *chance.sample(range(len(content)), 300)]:
        broken = bytearray(content)
        broken[at] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(BadCheckpoint, match="remove it to repeat the run"):
            store.find(run_of.spec)
    for length in (0, 1, 60, 80, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(BadCheckpoint, match="remove it"):
            store.find(run_of.spec)
    path.write_bytes(content)
    assert store.find(run_of.spec) is not None
    path.rename(store.result("0" * 20))
    with pytest.raises(BadCheckpoint, match="another run"):
        (tmp_path / "runs" / ("0" * 20 + ".json")).rename(
            store.result(replace(run_of.spec, seed=1).id)
        )
        store.find(replace(run_of.spec, seed=1))


def test_a_source_agent_is_kept_once_and_checked(agent: Agent, tmp_path: Path) -> None:
    store = Store(tmp_path)
    name = store.save_agent(agent)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "agents").iterdir()}
    assert store.save_agent(agent) == name and store.agent(name).sha256 == agent.sha256
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "agents").iterdir()} == times
    for path in times:
        path.rename(path.with_stem("f" * 16))
    with pytest.raises(BadCheckpoint):
        store.agent("f" * 16)


def test_a_failure_goes_when_there_is_a_result(run_of: Run, tmp_path: Path) -> None:
    store = Store(tmp_path)
    outcome = Outcome(id=run_of.spec.id, name="a", status="hung", message="quiet")
    store.fail(outcome)
    assert list(store.outcomes()) == [outcome]
    store.publish(run_of, names=[])
    assert not list(store.outcomes()) and not list((tmp_path / "failures").iterdir())
    store.fail(outcome)
    assert not list((tmp_path / "failures").iterdir())


def test_the_index_follows_from_the_results_and_nothing_follows_from_it(
    agent: Agent, spec: RunSpec, tmp_path: Path
) -> None:
    sweep([Job("a", spec)], [agent], out=tmp_path)
    path = write_index(Store(tmp_path))
    ((id, recipe, seed),) = sqlite3.connect(path).execute("SELECT id, recipe, seed FROM runs")
    assert (id, recipe, seed) == (spec.id, "full", 0)
    path.write_bytes(b"rubbish")
    assert len(sweep([Job("a", spec)], [agent], out=tmp_path)) == 1
    done = run("index", tmp_path, cwd=tmp_path)
    assert done.returncode == 0 and "index.sqlite" in done.stdout
    assert sqlite3.connect(path).execute("SELECT count(*) FROM runs").fetchone() == (1,)
    with pytest.raises(BadArgument, match="holds no runs"):
        write_index(Store(tmp_path / "nowhere"))


def test_another_run_of_the_same_name_is_refused(
    agent: Agent, spec: RunSpec, tmp_path: Path
) -> None:
    sweep([Job("a", spec)], [agent], out=tmp_path)
    with pytest.raises(BadArgument, match="a full seed 0 with another steps: choose another"):
        sweep([Job("a", replace(spec, steps=128))], [agent], out=tmp_path)
    scratch = RunSpec.of(agent, "CartPole-v1", recipe("scratch"), label="full", seed=0, **SMALL)
    with pytest.raises(BadArgument, match="two runs would write to events/a/seed0/full"):
        sweep([Job("a", spec), Job("a", scratch)], [agent], out=tmp_path / "x")


def test_every_way_to_fail_has_its_name() -> None:
    full = NotWritable("a: cannot be written")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    start = Outcome(id="0", name="a", status="done")
    for error, status, message in (
        (MemoryError(), "out of memory", "MemoryError: "),
        (full, "disk full", "a: cannot be written"),
        (OSError(errno.ENOSPC, "full"), "disk full", "OSError: [Errno 28] full"),
        (NotWritable("b"), "failed", "b"),
        (ZeroDivisionError("division\nby zero"), "failed", "ZeroDivisionError: division by zero"),
    ):
        ended = failure(start, error)
        assert (ended.status, ended.message) == (status, message)


def test_limits_are_checked() -> None:
    for change in ({"hang": 0}, {"timeout": -1.0}, {"memory": "1"}, {"retries": 1.5}):
        with pytest.raises(BadArgument, match=next(iter(change))):
            Limits(**change)


@pytest.mark.parametrize("published", [False, True])
def test_events_of_an_attempt_that_has_ended_go_unless_it_gave_the_result(
    tmp_path: Path, published: bool
) -> None:
    """Another sweep may publish, and end, after this one has found no result."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    other = tmp_path / f"events.out.tfevents.1.{socket.gethostname()}.{ended.pid}.0"
    other.write_bytes(b"")
    result = tmp_path / "result.json"
    if published:
        result.write_bytes(b"")
    with events.recording(tmp_path, resumed=False, result=result) as names:
        assert other.exists() == published
    assert names == []


def test_a_folder_is_created_while_failed_runs_take_empty_ones_away(tmp_path: Path) -> None:
    shared, ended = [tmp_path / "events/label", tmp_path / "events"], threading.Event()

    def take_away() -> None:
        while not ended.is_set():
            folders.remove_empty(shared)

    other = threading.Thread(target=take_away)
    other.start()
    try:  # creating them one after the other would lose hundreds of times in a row
        for number in range(500):
            own = shared[0] / str(number)
            folders.create(own)
            own.rmdir()
    finally:
        ended.set()
        other.join()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_goes_right_after_it_was_found_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, found = Path.mkdir, [tmp_path / "events"]

    def mkdir(path: Path, *args: Any, **options: Any) -> None:
        if path in found:
            found.remove(path)
            raise FileExistsError(errno.EEXIST, "File exists")
        real(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    folders.create(tmp_path / "events/label")
    assert (tmp_path / "events/label").is_dir() and not found
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotWritable, match="File exists"):
        folders.create(tmp_path / "file")
