"""Every code block of README.md runs, in a folder outside the repository, with small budgets."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [(lang, file, code) for lang, file, code in BLOCK.findall(README)]
# Commands that set up an environment, or that wait for a browser.
NOT_HERE = ("make ", "pip ", "tensorboard ", ".venv/bin/tensorboard ")


def quickly(text: str) -> str:
    """The same text with budgets that a test can afford."""
    text = re.sub(r"(--steps |steps=|learn\()[\d_]+", r"\g<1>4096", text)
    text = re.sub(r"(--seeds |seeds=)\d+", r"\g<1>1", text)
    text = re.sub(r"(--episodes |episodes=)\d+", r"\g<1>2", text)
    return re.sub(r"(rltransfer benchmark .*)$", r"\1 --points 2 --episodes 2", text, flags=re.M)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with the files that README names."""
    made = tmp_path_factory.mktemp("user")
    for _, file, code in BLOCKS:
        if file:
            (made / file).write_text(code)
    return made


def run(command: list[str], folder: Path) -> str:
    paths = [str(ROOT), str(ROOT / "envs"), str(ROOT / "zoo")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg"}
    env["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_python_blocks(folder: Path) -> None:
    code = "\n".join(code for lang, file, code in BLOCKS if lang == "python" and not file)
    run([sys.executable, "-W", "error::UserWarning", "-c", quickly(code)], folder)
    assert (folder / "heavy.zip").exists()
    assert (folder / "gain.png").exists()
    assert (folder / "gain.html").exists()


def commands() -> list[str]:
    lines = [line for lang, _, code in BLOCKS if lang == "bash" for line in code.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith(NOT_HERE)]


@pytest.mark.slow
def test_every_command(folder: Path) -> None:
    assert len(commands()) >= 10
    for line in commands():
        words = shlex.split(quickly(line.partition(" #")[0]))
        assert words[0] == "rltransfer", line
        out = run([sys.executable, "-m", "rltransfer", *words[1:]], folder)
        assert out.strip(), line


def test_the_commands_for_your_own_task(folder: Path) -> None:
    mine = [line for line in commands() if "my_tasks" in line]
    assert len(mine) == 4
    for line in mine:
        words = shlex.split(quickly(line.partition(" #")[0]))
        run([sys.executable, "-m", "rltransfer", *words[1:]], folder)
    assert (folder / "runs/jupiter/model.zip").exists()
    assert (folder / "runs/gain/report.html").exists()
