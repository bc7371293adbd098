"""Nothing is lost, doubled or torn, wherever workers and their sweep are killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from processes import tiny_agent
from sweeps import check_whole, complete, finish, kill, start, workers

from rltransfer.errors import BadArgument
from rltransfer.experiments import faults
from rltransfer.experiments.index import write_index
from rltransfer.experiments.store import Store

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")

IN_WORKERS = [name for name in faults.POINTS if name.startswith(("run.", "store."))]
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
    assert {*IN_WORKERS, *IN_THE_SWEEP, "index.staged"} == {*faults.POINTS}


def test_a_worker_killed_at_any_point_is_started_again(
    user: Path, undisturbed: dict[str, bytes]
) -> None:
    """The sweep itself goes on: one worker dies at each point, once."""
    for name in IN_WORKERS:
        once, out = user / f"once-{name}", f"worker-{name}"
        fault = {"RLTRANSFER_FAULT": f"{name}:1", "RLTRANSFER_FAULT_ONCE": str(once)}
        assert complete(user, out, "--seeds", 2, "--jobs", 2, **fault) == undisturbed, name
        assert once.exists(), f"nothing passed {name}"
        check_whole(user / out, 4)


@pytest.mark.parametrize("name", [*IN_THE_SWEEP, *IN_WORKERS])
@pytest.mark.slow
def test_a_sweep_killed_at_any_point_goes_on(
    user: Path, undisturbed: dict[str, bytes], name: str
) -> None:
    """Also where it executes the runs itself."""
    out, once = f"sweep-{name}", user / f"once-sweep-{name}"
    options = ["--seeds", 2, "--engine", "local" if name in IN_THE_SWEEP else "here"]
    fault = {"RLTRANSFER_FAULT": f"{name}:1", "RLTRANSFER_FAULT_ONCE": str(once)}
    code, said = finish(start(user, out, *options, **fault))
    assert code == -9 and once.exists(), said
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
    import subprocess

    from processes import command, environment

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
def test_sixty_runs_under_fifty_random_kills(user: Path) -> None:
    """Of workers, and every fifth time of the sweep, which is started again."""
    expected = complete(user, "sixty", "--seeds", 30)
    chance, kills, sweeps = random.Random(7), 0, 1
    options = ("--seeds", 30, "--jobs", 2, "--retries", 100)
    process = start(user, "killed", *options)
    while process.poll() is None or process.returncode == -9:
        if process.poll() is not None:
            process.communicate()
            sweeps += 1
            process = start(user, "killed", *options)
        time.sleep(chance.uniform(0.1, 0.8))
        if kills >= 60:
            continue
        victims = workers(process.pid)
        if victims:
            sweep_too = kills % 5 == 4
            kills += kill(process.pid if sweep_too else chance.choice(victims))
            if sweep_too:
                process.wait(30)
    code, said = finish(process)
    assert code == 0, said
    print(f"{kills} kills, {sweeps} sweeps")
    assert kills >= 50 and sweeps > 5
    assert {name: (user / "killed" / name).read_bytes() for name in expected} == expected
    check_whole(user / "killed", 60)
