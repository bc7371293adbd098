"""Clusters: the same numbers as on this machine, whatever is killed."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest
from processes import tiny_agent
from sweeps import check_whole, complete, finish, kill, start

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
def test_ray_under_twenty_kills_gives_the_same_numbers(user: Path) -> None:
    """Of its workers, and of the driver, which starts its own cluster anew."""
    pytest.importorskip("ray")
    expected = complete(user, "plain", "--seeds", 15)
    chance, kills, drivers = random.Random(3), 0, 1
    options = ("--seeds", 15, "--jobs", 2, "--engine", "ray", "--retries", 100)
    process = start(user, "ray", *options)
    while process.poll() is None or process.returncode == -9:
        if process.poll() is not None:
            process.communicate()
            drivers += 1
            process = start(user, "ray", *options)
        time.sleep(chance.uniform(0.3, 1.5))
        victims = _ray_workers(process.pid)
        if victims and kills < 24:
            driver_too = kills % 8 == 7
            kills += kill(process.pid if driver_too else chance.choice(victims))
            if driver_too:
                process.wait(30)
    code, said = finish(process)
    assert code == 0, said
    print(f"{kills} kills, {drivers} drivers")
    assert kills >= 20 and drivers >= 3
    assert {name: (user / "ray" / name).read_bytes() for name in expected} == expected
    check_whole(user / "ray", 30)


def _ray_workers(driver: int) -> list[int]:
    """Workers of Ray that execute something, in the session of a driver."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")[0]
            session = int((path.parent / "stat").read_text().rpartition(") ")[2].split()[3])
        except (OSError, ValueError):
            continue
        if words.startswith(b"ray::_execute") and session == driver:
            found.append(int(path.parent.name))
    return found
