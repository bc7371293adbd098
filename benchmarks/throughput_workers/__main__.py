"""A worker: builds one learner, and trains it for as many iterations as it is asked, each time.

Started by ``pool.py``. It reads one JSON value a line from standard input, the number of
iterations, and answers one JSON object a line on what was standard output; anything that libraries
print goes to standard error.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

PACKAGES = (
    *("rltransfer", "stable-baselines3", "torch", "sbx-rl", "jax", "gymnasium", "numpy", "numba"),
    *("envpool", "mujoco", "minigrid", "ale-py"),
)
OURS = ("rltransfer", "rltransfer_envs", "throughput_workers")
Report = dict[str, Any]


def main() -> None:
    """Answer requests until standard input ends."""
    request = json.loads(sys.argv[1])
    # Before numeric libraries start threads, which inherit it.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request["cores"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    try:
        worker = Worker(request)
        _answer(answers, worker.warm_up(request["warm_up"]))
    except Exception as error:
        skipped = _reason(error)
        if skipped is None:
            raise
        _answer(answers, {"skipped": skipped})
        return
    for line in sys.stdin:
        _answer(answers, worker.train(json.loads(line)))


class Worker:
    """One learner and its clocks.

    Args:
        request: Names of the workload and of the implementation, device and threads.
    """

    def __init__(self, request: Report) -> None:
        import torch

        torch.set_num_threads(len(request["cores"]))
        from throughput_workers.clocks import Clocks
        from throughput_workers.learners import BUILDERS
        from throughput_workers.workloads import IMPLEMENTATIONS, WORKLOADS

        implementation = IMPLEMENTATIONS[request["implementation"]]
        self.workload = WORKLOADS[request["workload"]]
        build = BUILDERS[implementation.learner]
        self.learner = build(self.workload, implementation, request["device"])
        self.device = request["device"]
        self.clocks = Clocks(_synchronizer(self.learner, implementation.learner, self.device))
        self.clocks.attach(self.learner)

    def warm_up(self, iterations: int) -> Report:
        """Compile what is compiled on the way, and tell what is running."""
        started = time.perf_counter()
        reports = [self.train(1, first=index == 0) for index in range(iterations)]
        report = getattr(self.learner, "engine_report", None)
        return {
            **reports[-1],
            "warm_up_seconds": time.perf_counter() - started,
            "engine": str(report()) if report else None,
            "python": platform.python_version(),
            "packages": _versions(),
            "device": _device_name(self.device),
        }

    def train(self, iterations: int, *, first: bool = False) -> Report:
        """Run iterations, each a rollout and its update.

        Raises:
            RuntimeError: The environments were stepped where the clocks do not see it.
        """
        cpu = time.process_time()
        self.clocks.start()
        self.learner.learn(iterations * self.workload.steps, reset_num_timesteps=first)
        phases = self.clocks.stop()
        cpu = time.process_time() - cpu
        entries = self.clocks.entries
        if entries["rollout"] != iterations or entries["env"] < iterations * self.workload.n_steps:
            raise RuntimeError(f"the clocks saw {dict(entries)} in {iterations} iterations")
        return {
            "iterations": iterations,
            "seconds": sum(phases.values()),
            "cpu_seconds": cpu,
            "phases": phases,
            "peak_mib": _peak_mib(),
            "device_peak_mib": _device_peak_mib(self.device),
        }


def _reason(error: Exception) -> str | None:
    """Why this implementation cannot run here, if nothing of ours is broken."""
    missing = isinstance(error, ImportError) and (error.name or "").partition(".")[0] not in OURS
    if missing or type(error).__name__ in ("Skipped", "MissingExtra", "DependencyNotInstalled"):
        return f"{error}".strip().splitlines()[0]
    return None


def _synchronizer(learner: Any, kind: str, device: str) -> Callable[[], None] | None:
    if kind == "sbx":
        import jax  # pyright: ignore[reportMissingImports]

        return lambda: jax.block_until_ready(learner.policy.vf_state.params)
    if device == "cuda":
        import torch

        return torch.cuda.synchronize
    return None


def _device_name(device: str) -> str:
    if device != "cuda":
        return device
    import torch

    return torch.cuda.get_device_name()


def _device_peak_mib(device: str) -> float | None:
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated() / 2**20


def _peak_mib() -> float:
    """Peak resident memory of this process, in MiB."""
    try:
        # Unlike ru_maxrss it does not begin with that of the process that started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 1024)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _answer(stream: IO[str], report: Report) -> None:
    stream.write(json.dumps(report) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
