"""Worker processes as the parent sees them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughput_workers.workloads import IMPLEMENTATIONS

BENCHMARKS = Path(__file__).parents[1]
PATHS = (BENCHMARKS, BENCHMARKS.parent, *(BENCHMARKS.parent / name for name in ("envs", "zoo")))
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
Report = dict[str, Any]


class WorkerError(Exception):
    """A worker ended, or cannot start; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How workers are started.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        cores: Cores that every worker is pinned to; it has a thread for each.
        warm_up: Iterations before the first that is timed.
        sbx_python: Interpreter that has SBX; None for this one.
    """

    device: str = "cpu"
    cores: tuple[int, ...] = (0,)
    warm_up: int = 2
    sbx_python: Path | None = None


class Worker:
    """A worker process, which is idle unless it is asked to train.

    Args:
        workload: Name of a workload.
        implementation: Name of an implementation.
        setup: How to start it.

    Raises:
        WorkerError: It cannot start.
    """

    def __init__(self, workload: str, implementation: str, setup: Setup) -> None:
        python = sys.executable
        if IMPLEMENTATIONS[implementation].learner == "sbx" and setup.sbx_python:
            python = str(setup.sbx_python)
        request = {
            "workload": workload,
            "implementation": implementation,
            "device": setup.device,
            "cores": setup.cores,
            "warm_up": setup.warm_up,
        }
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115, open while the process lives
        try:
            self._process = subprocess.Popen(
                [python, "-m", "throughput_workers", json.dumps(request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **variables(setup)},
                text=True,
            )
        except OSError as error:
            self._log.close()
            raise WorkerError(f"{python} cannot be started: {error}") from error

    def ready(self) -> Report:
        """Wait for the warm-up, and return what the worker says of itself."""
        return self._read()

    def train(self, iterations: int) -> Report:
        """Train for some iterations, and return seconds, phases and memory."""
        assert self._process.stdin is not None
        # If it has ended, reading says why.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{iterations}\n")
            self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _read(self) -> Report:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        written = self._log.read().strip() or f"exit status {self._process.returncode}"
        raise WorkerError(written)


@contextlib.contextmanager
def workers(
    workload: str, implementations: Sequence[str], setup: Setup
) -> Iterator[tuple[dict[str, Worker], dict[str, Report]]]:
    """Start the workers of a workload one after the other.

    Yields:
        The workers that are ready, and what each implementation said of itself, which has a key
        ``"skipped"`` or ``"failed"`` where there is no worker.
    """
    with contextlib.ExitStack() as stack:
        ready: dict[str, Worker] = {}
        facts: dict[str, Report] = {}
        for name in implementations:
            try:
                worker = Worker(workload, name, setup)
                stack.callback(worker.close)
                facts[name] = worker.ready()
                if "skipped" not in facts[name]:
                    ready[name] = worker
            except WorkerError as error:
                facts[name] = {"failed": str(error)}
        yield ready, facts


def variables(setup: Setup) -> dict[str, str]:
    """Environment variables of a worker: where its modules are, and how many threads it has."""
    threads = str(len(setup.cores))
    return {
        "PYTHONPATH": os.pathsep.join(map(str, PATHS)),
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        if setup.device == "cuda"
        else "",
        "JAX_PLATFORMS": setup.device,
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=" + ("false" if threads == "1" else "true"),
        **{f"{name}_NUM_THREADS": threads for name in THREADS},
    }
