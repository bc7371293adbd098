"""Sweeps in processes of their own that a test can kill."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from processes import command, environment

from rltransfer.experiments.store import Store

REPORTS = ("curves.csv", "gains.md")


def start(folder: Path, out: str, *more: object, **changes: str) -> subprocess.Popen[str]:
    """Start a benchmark of tiny runs, from the agent ``tiny`` in a folder."""
    return subprocess.Popen(
        command(
            *("benchmark", "--source", "tiny", "--target", "CartPole-v1", "--recipes", "full"),
            *("--steps", 128, "--points", 2, "--episodes", 3, "--out", out, *more),
        ),
        cwd=folder,
        env=environment(**changes),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 600) -> tuple[int, str]:
    """Wait for its end; returns its exit code and what it printed."""
    out, errors = process.communicate(timeout=seconds)
    return process.returncode, out + errors


def complete(folder: Path, out: str, *more: object, **changes: str) -> dict[str, bytes]:
    """Run a benchmark to its end; returns its tables."""
    code, said = finish(start(folder, out, *more, **changes))
    assert code == 0, said
    return {name: (folder / out / name).read_bytes() for name in REPORTS}


def check_whole(out: Path, count: int, events: int | None = None) -> None:
    """See that each run has one result, whole, and one file of events, and nothing else is left.

    A run that goes on from a checkpoint has more: give their number.
    """
    ids = [run.spec.id for run, _ in Store(out).runs()]
    assert len(ids) == len(set(ids)) == count
    assert len(list(out.glob("events/*/*/*/events.out.tfevents.*"))) == (events or count)
    assert not list(out.glob("failures/*")) and not list(out.glob("checkpoints/*"))


def workers(driver: int) -> list[int]:
    """Processes below a process that execute runs: those that lead a group of their own."""
    found, below = [], {driver}
    for _ in range(4):
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError):
                parent = int(path.read_text().rpartition(") ")[2].split()[1])
                if parent in below:
                    below.add(int(path.parent.name))
    for pid in below - {driver}:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/cmdline").read_bytes()
            leads = os.getpgid(pid) == pid and os.getsid(pid) != pid
            if leads and b"forkserver import serve" in lines:
                found.append(pid)
    return found


def kill(pid: int) -> bool:
    """Kill a process; False if it had ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def wait_until(true: Any, seconds: float = 240) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
