"""The wheel holds what it should, and works where the source tree is not."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from processes import ROOT

import rltransfer as rlt

PACKAGES = {
    "rltransfer": ROOT / "rltransfer",
    "rltransfer_envs": ROOT / "envs/rltransfer_envs",
    "rltransfer_zoo": ROOT / "zoo/rltransfer_zoo",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def call(*args: object, cwd: Path, **changes: str) -> str:
    """Run a command without this tree on its path; returns its output."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | changes
    done = subprocess.run(
        [*map(str, args)], cwd=cwd, env=env, text=True, capture_output=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    # Where the build backend is not installed, pip fetches it into a place of its own.
    own = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    call(sys.executable, "-m", "build", "--wheel", *own, "--outdir", out, ".", cwd=ROOT)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel alone; what it needs is borrowed from this one."""
    env = tmp_path_factory.mktemp("env")
    call(sys.executable, "-m", "venv", "--without-pip", env, cwd=env)
    call(
        *(sys.executable, "-m", "pip", "--python", env / "bin/python", "install", "--quiet"),
        *("--no-deps", "--no-index", "--disable-pip-version-check", wheel),
        cwd=env,
    )
    (site,) = env.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return env


def test_the_version_is_said_once_more_and_is_the_same() -> None:
    assert PROJECT["version"] == rlt.__version__


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    info = f"rltransfer-{rlt.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, info}
    assert f"{info}/licenses/LICENSE" in names
    expected = {
        f"{package}/{path.relative_to(folder)}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if not name.startswith(info)} == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert "rltransfer_envs/scores.json" in expected
    for agent in rlt.agents():
        assert {f"rltransfer_zoo/{agent}.json", f"rltransfer_zoo/{agent}.safetensors"} <= expected


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"rltransfer-{rlt.__version__}.dist-info"
    meta = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    assert meta["Requires-Python"] == ">=3.11" and meta["License-Expression"] == "MIT"
    assert set(meta.get_all("Provides-Extra") or []) == set(PROJECT["optional-dependencies"])
    needed = [n for n in meta.get_all("Requires-Dist") or [] if "extra ==" not in n]
    known = {re.split(r"[<>=]", n)[0] for n in PROJECT["dependencies"]}
    assert {re.split(r"[<>=]", n)[0] for n in needed} == known
    scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert "rltransfer = rltransfer.cli:main" in scripts


def test_every_extra_that_a_task_names_exists() -> None:
    named = {task.extra for task in rlt.tasks().values() if task.extra}
    assert named <= set(PROJECT["optional-dependencies"])
    clusters = {"ray", "slurm"}  # For those who have one: ray alone is 240 MB.
    extras = sorted(PROJECT["optional-dependencies"].keys() - {"all", "dev"} - clusters)
    assert f"rltransfer[{','.join(extras)}]" in PROJECT["optional-dependencies"]["all"]
    assert "rltransfer[all,ray,slurm]" in PROJECT["optional-dependencies"]["dev"]


def test_it_works_in_another_environment_from_another_folder(
    elsewhere: Path, tmp_path: Path
) -> None:
    code = "import rltransfer, rltransfer_envs, rltransfer_zoo as z; print(rltransfer.__file__)"
    where = call(elsewhere / "bin/python", "-W", "error", "-c", code, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(elsewhere)

    listed = call(elsewhere / "bin/rltransfer", "ls", cwd=tmp_path)
    for word in (*rlt.tasks(), *rlt.pairs(), *rlt.agents(), *rlt.recipes):
        assert word in listed
    shown = call(
        elsewhere / "bin/rltransfer", "evaluate", "cartpole", "--episodes", 2, cwd=tmp_path
    )
    assert shown.startswith("CartPole-v1: 500")
    assert not list(tmp_path.iterdir())
