"""Clusters: the same numbers as on this machine, whatever is killed."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import tiny_agent
from sweeps import check_whole, complete, finish, kill, start, wait_until

from rltransfer.errors import MissingExtra
from rltransfer.experiments.engines import engine

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    tiny_agent().save(folder / "tiny")
    return folder


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_cluster_without_its_package_names_the_extra(
    name: str, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from rltransfer.experiments.engines import Limits
    from rltransfer.experiments.store import Store

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, {"ray": "ray", "slurm": "submitit"}[name], None)
    with pytest.raises(MissingExtra, match=rf"rltransfer\[{name}\]"):
        engine(name)(  # pyright: ignore[reportArgumentType]
            Store(user), [], workers=1, limits=Limits(), tell=print, done=print, address=None
        )


@pytest.mark.slow
def test_slurm_gives_the_same_numbers(user: Path) -> None:
    pytest.importorskip("submitit")
    expected = complete(user, "local", "--seeds", 2)
    options = ("--seeds", 2, "--engine", "slurm", "--address", "local")
    assert complete(user, "slurm", *options) == expected
    check_whole(user / "slurm", 4)


@pytest.mark.slow
def test_sixty_runs_of_ray_under_fifty_kills_give_the_same_numbers(user: Path) -> None:
    """Of its workers, and of the driver, which starts its own cluster anew."""
    pytest.importorskip("ray")
    small = ("--seeds", 30, "--steps", 64)
    expected, begun = complete(user, "plain", *small), time.monotonic()
    chance, kills = random.Random(3), Counter[str]()
    options = (*small, "--jobs", 2, "--engine", "ray", "--retries", 100)
    drivers = [start(user, "ray", *options)]
    while drivers[-1].poll() in (None, -9):
        process = drivers[-1]
        if process.returncode is not None:
            process.communicate()
            drivers.append(start(user, "ray", *options))
            continue
        time.sleep(chance.uniform(0.5, 2.5))
        victims = [pid for pid, name in members(process.pid) if name.startswith("ray::_execute")]
        if victims and kills.total() < 56:
            kind = "driver" if kills.total() % 8 == 7 else "worker"
            kills[kind] += kill(process.pid if kind == "driver" else chance.choice(victims))
            if kind == "driver":
                process.wait(240)
    code, said = finish(drivers[-1])
    assert code == 0, said
    print(f"{dict(kills)} kills, 60 runs, {time.monotonic() - begun:.0f} s")
    assert kills["worker"] >= 45 and kills["driver"] >= 5
    assert {name: (user / "ray" / name).read_bytes() for name in expected} == expected
    check_whole(user / "ray", 60)
    wait_until(lambda: not [one for driver in drivers for one in members(driver.pid)], 60)


def members(session: int) -> list[tuple[int, str]]:
    """Processes of the session of a driver, and their names."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = path.read_bytes().split(b"\0")[0].decode()
            state, _, _, its_session = (
                (path.parent / "stat").read_text().rpartition(") ")[2].split()[:4]
            )
        except (OSError, ValueError):
            continue
        if int(its_session) == session and state != "Z":
            found.append((int(path.parent.name), name))
    return found
