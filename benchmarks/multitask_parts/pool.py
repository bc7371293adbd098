"""Running jobs in processes of their own: what is finished stays, what fails is named."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from multitask_parts.jobs import Job, Result, with_needs

#: Module that runs the jobs of each part: ``run(job, out) -> result``.
MODULES = {
    "classic4": "multitask_parts.classic4",
    "minigrid-transfer": "multitask_parts.rooms",
    "family": "multitask_parts.family_runs",
    "retention": "multitask_parts.retention",
    "speed": "multitask_parts.speed",
}


@dataclass
class Finished:
    """What became of all jobs.

    Attributes:
        results: Result by name of the run.
        failed: Why, by name of the run.
    """

    results: dict[str, Result] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, more: Finished) -> None:
        """Take in what became of other jobs."""
        self.results |= more.results
        self.failed |= more.failed


class _Worker:
    """A process that runs one job after another."""

    def __init__(self, out: Path) -> None:
        context = get_context("spawn")  # torch's threads do not survive a fork
        self.line, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, str(out)))
        self.process.start()
        theirs.close()
        self.job: Job | None = None

    def begin(self, job: Job) -> None:
        self.job = job
        self.line.send(job)

    def end(self) -> str | None:
        """Take the answer: None if the job is done, or why it is not.

        A process that died says nothing more.
        """
        try:
            return self.line.recv()
        except (EOFError, OSError):
            self.process.join()
            return f"its process ended with exit code {self.process.exitcode}"

    def close(self) -> None:
        if self.job is not None:
            self.process.terminate()
        self.line.close()
        self.process.join()


def run_all(jobs: Sequence[Job], out: Path, processes: int) -> Finished:
    """Run what is missing, several at a time.

    Args:
        jobs: What is wanted; what they need is run too.
        out: Folder of ``runs`` and ``agents``.
        processes: Runs at a time.
    """
    # Small networks; and processes that share cores must not each want all of them.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    finished = kept(jobs, out)
    waiting = [job for job in with_needs(jobs) if job.name not in finished.results]
    total, workers = len(waiting), []
    if finished.results:
        print(f"{len(finished.results)} runs are there already", flush=True)
    try:
        while waiting or any(worker.job for worker in workers):
            _fail_what_cannot_run(waiting, finished)
            _start(waiting, workers, finished, out, processes)
            _take(workers, finished, out)
            left = len(waiting) + sum(worker.job is not None for worker in workers)
            print(f"  {total - left} of {total} runs", flush=True)
    finally:
        for worker in workers:
            worker.close()
    return finished


def kept(jobs: Sequence[Job], out: Path) -> Finished:
    """What is there already of jobs, and of what they need."""
    found = {job.name: job.read(out) for job in with_needs(jobs)}
    return Finished({name: result for name, result in found.items() if result is not None})


def _fail_what_cannot_run(waiting: list[Job], finished: Finished) -> None:
    for job in list(waiting):
        for needed in job.needs.values():
            if needed.name in finished.failed:
                finished.failed[job.name] = f"it needs {needed.name}, which failed"
                waiting.remove(job)
                break


def _start(
    waiting: list[Job], workers: list[_Worker], finished: Finished, out: Path, processes: int
) -> None:
    for job in list(waiting):
        ready = all(needed.name in finished.results for needed in job.needs.values())
        idle = next((worker for worker in workers if worker.job is None), None)
        if idle is None and len(workers) < processes:
            idle = _Worker(out)
            workers.append(idle)
        if idle is None:
            return
        if ready:
            waiting.remove(job)
            idle.begin(job)


def _take(workers: list[_Worker], finished: Finished, out: Path) -> None:
    busy = {worker.line: worker for worker in workers if worker.job is not None}
    for line in connection.wait(list(busy)) if busy else ():
        worker = busy[line]  # pyright: ignore[reportArgumentType]
        job, problem = worker.job, worker.end()
        assert job is not None
        worker.job = None
        result = job.read(out) if problem is None else None
        if result is not None:
            finished.results[job.name] = result
            words = f"{result['seconds']:.1f} s"
        else:
            finished.failed[job.name] = problem or "its result cannot be read"
            words = f"failed: {finished.failed[job.name].splitlines()[-1]}"
        if not worker.process.is_alive():
            workers.remove(worker)
            worker.close()
        print(f"{job.name}: {words}", flush=True)


def _work(line: Any, out: str) -> None:
    """Run jobs as they come, until the line is closed."""
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            job = line.recv()
        except (EOFError, KeyboardInterrupt):
            return
        line.send(run_one(job, Path(out)))


def run_one(job: Job, out: Path) -> str | None:
    """Run a job and write its result.

    Returns:
        None, or what went wrong.
    """
    failure = job.path(out).with_suffix(".failed")
    try:
        result = importlib.import_module(MODULES[job.part]).run(job, out)
        job.write(out, result)
    except Exception:
        problem = traceback.format_exc()
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(problem)
        return problem
    failure.unlink(missing_ok=True)
    return None
