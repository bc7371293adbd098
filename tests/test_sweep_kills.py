"""Nothing is lost, doubled or torn, wherever workers and their sweep are killed."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import command, environment, tiny_agent
from sweeps import check_whole, complete, finish, kill, start, workers

from rltransfer.errors import BadArgument
from rltransfer.experiments import kill_points
from rltransfer.experiments.index import write_index
from rltransfer.experiments.store import Store

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")

IN_WORKERS = [name for name in kill_points.POINTS if name.startswith(("run.", "store."))]
IN_THE_SWEEP = ["sweep.agent_written", "sweep.request_written", "local.launched", "local.reaped"]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    tiny_agent().save(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def undisturbed(user: Path) -> dict[str, bytes]:
    return complete(user, "undisturbed", "--seeds", 2)


def test_the_points_are_all_tested() -> None:
    assert {*IN_WORKERS, *IN_THE_SWEEP, "index.staged"} == {*kill_points.POINTS}


def test_workers_killed_at_every_point_are_started_again(
    user: Path, undisturbed: dict[str, bytes]
) -> None:
    """The sweep itself goes on: at each point one worker dies."""
    fault = armed(user / "once", IN_WORKERS)
    options = ("--seeds", 2, "--jobs", 2, "--retries", len(IN_WORKERS))
    assert complete(user, "workers", *options, **fault) == undisturbed
    assert {path.name for path in (user / "once").iterdir()} == {*IN_WORKERS}
    check_whole(user / "workers", 4)


def armed(once: Path, names: list[str]) -> dict[str, str]:
    """Environment in which one process dies at each of some points."""
    once.mkdir()
    faults = ",".join(f"{name}:1" for name in names)
    return {"RLTRANSFER_FAULT": faults, "RLTRANSFER_FAULT_ONCE": str(once)}


@pytest.mark.parametrize("name", [*IN_THE_SWEEP, *IN_WORKERS])
@pytest.mark.slow
def test_a_sweep_killed_at_any_point_goes_on(
    user: Path, undisturbed: dict[str, bytes], name: str
) -> None:
    """Also where it executes the runs itself."""
    out, once = f"sweep-{name}", user / f"once-sweep-{name}"
    options = ["--seeds", 2, "--engine", "local" if name in IN_THE_SWEEP else "here"]
    code, said = finish(start(user, out, *options, **armed(once, [name])))
    assert code == -9 and (once / name).exists(), said
    assert complete(user, out, *options) == undisturbed
    check_whole(user / out, 4)


def test_a_sweep_killed_when_a_run_was_launched_goes_on_without_being_told_how(
    user: Path, undisturbed: dict[str, bytes]
) -> None:
    code, said = finish(start(user, "again", "--seeds", 2, RLTRANSFER_FAULT="local.reaped:2"))
    assert code == -9, said
    resumed = start(user, "again", "--resume", "--steps", 256)
    code, said = finish(resumed)
    assert code == 1 and "whose steps is 128, not 256" in said
    assert complete(user, "again", "--resume") == undisturbed
    check_whole(user / "again", 4)
    with pytest.raises(BadArgument):
        write_index(Store(user / "nothing"))


def test_an_index_killed_while_it_is_written_changes_nothing(
    user: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = environment(RLTRANSFER_FAULT="index.staged:1")
    done = subprocess.run(command("index", "undisturbed"), cwd=user, env=fault)
    assert done.returncode == -9 and not (user / "undisturbed/index.sqlite").exists()
    write_index(Store(user / "undisturbed"))
    check_whole(user / "undisturbed", 4)


def test_two_sweeps_at_once_share_a_folder(user: Path, undisturbed: dict[str, bytes]) -> None:
    both = [start(user, "shared", "--seeds", 2, "--jobs", 1) for _ in range(2)]
    for process in both:
        code, said = finish(process)
        assert code == 0, said
    for name, content in undisturbed.items():
        assert (user / "shared" / name).read_bytes() == content
    check_whole(user / "shared", 4)


@pytest.mark.slow
def test_sixty_runs_under_sixty_random_kills(user: Path) -> None:
    """Of workers, of the process that forks them, and of the sweep, which is started again."""
    # Long enough that on a fast machine, too, the kills come before the end.
    options = ("--seeds", 30, "--steps", 2048)
    expected, begun = complete(user, "sixty", *options), time.monotonic()
    chance, kills = random.Random(7), Counter[str]()
    process = start(user, "killed", *options, "--jobs", 2, "--retries", 100)
    while process.poll() in (None, -9):
        if process.returncode is not None:
            process.communicate()
            process = start(user, "killed", *options, "--jobs", 2, "--retries", 100)
        time.sleep(chance.uniform(0.05, 0.3))
        victims = workers(process.pid)
        if victims and kills.total() < 60:
            kills += strike(process, victims, kills.total(), chance)
    code, said = finish(process)
    assert code == 0, said
    print(f"{dict(kills)} kills, 60 runs, {time.monotonic() - begun:.0f} s")
    assert kills["worker"] >= 45 and kills["sweep"] >= 5 and kills["server"] >= 3
    assert {name: (user / "killed" / name).read_bytes() for name in expected} == expected
    check_whole(user / "killed", 60)


def strike(
    process: subprocess.Popen[str], victims: list[int], count: int, chance: random.Random
) -> Counter[str]:
    """Kill something: every tenth time the sweep, every twentieth the server, else a worker."""
    if count % 10 == 9:
        killed = kill(process.pid)
        process.wait(240)
        return Counter(sweep=killed)
    victim = chance.choice(victims)
    if count % 20 == 4:
        return Counter(server=kill(os.getsid(victim)))
    return Counter(worker=kill(victim))
