"""Runs in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import torch
from gymnasium.envs.registration import EnvSpec

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, TransferError
from rltransfer.experiments import folders
from rltransfer.experiments.jobs import Job, Watch, tell, tell_finished, work
from rltransfer.experiments.run import Run
from rltransfer.registry import Task, register_task, spec, tasks


def run_apart(
    jobs: Mapping[int, Job], sources: Mapping[str, Agent], processes: int, watch: Watch | None
) -> dict[int, Run]:
    """Execute runs in worker processes.

    The workers end with this process, even if it is killed.

    Args:
        jobs: The runs by any number.
        sources: Source agents by hash.
        processes: Number of workers.
        watch: Called as the runs proceed.

    Returns:
        Finished runs by the same numbers.

    Raises:
        BadArgument: A run cannot be sent to a worker.
        TransferError: A run failed; the others are given up.
    """
    packed = {i: _packed(job, sources[job.spec.source_hash]) for i, job in jobs.items()}
    created = {i: folders.missing(job.folder) if job.folder else [] for i, job in jobs.items()}
    runs: dict[int, Run] = {}
    try:
        _run(jobs, packed, min(processes, len(jobs)), watch, runs)
    except BaseException:
        for i, job in jobs.items():
            if i not in runs and job.folder and not (job.folder / folders.RESULT).exists():
                folders.discard(job.folder, created[i])
        raise
    return runs


def _run(
    jobs: Mapping[int, Job],
    packed: Mapping[int, bytes],
    processes: int,
    watch: Watch | None,
    runs: dict[int, Run],
) -> None:
    # Spawn, not fork: forking a process that has started torch threads can deadlock.
    context = multiprocessing.get_context("spawn")
    news: Any = context.SimpleQueue()
    lifeline, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        processes, context, initializer=_start_worker, initargs=(news, lifeline)
    )
    try:
        with _interrupts_held():
            waiting = {pool.submit(_work_apart, i, data): i for i, data in packed.items()}
        _collect(waiting, jobs, news, watch, runs)
        pool.shutdown(wait=True)
    finally:
        ours.close()  # Workers that are still at it end now.
        pool.shutdown(wait=True, cancel_futures=True)
        lifeline.close()


def _collect(
    waiting: Mapping[Future[Run], int],
    jobs: Mapping[int, Job],
    news: Any,
    watch: Watch | None,
    runs: dict[int, Run],
) -> None:
    pending = set(waiting)
    while pending:
        finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        while not news.empty():
            index, steps = news.get()
            tell(watch, jobs[index], steps)
        for future in finished:
            runs[waiting[future]] = _result(future)
            tell_finished(watch, jobs[waiting[future]])


def _result(future: Future[Run]) -> Run:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise TransferError(
            "a worker process ended early (out of memory? its own error is printed above): try "
            'fewer with --jobs, or one; a script needs `if __name__ == "__main__":`'
        ) from error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits. A process that starts meanwhile never sees it, and is ended by us instead."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _packed(job: Job, agent: Agent) -> bytes:
    """A run with all that a worker must know, should nothing that it imports register the target.

    Plain pickle: torch's own way through multiprocessing moves tensors to shared memory, of which a
    container may have little.
    """
    target = spec(job.spec.target)
    try:
        return pickle.dumps((job, agent, target, tasks().get(target.id)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BadArgument(
            f"{job.name} cannot be sent to a worker process ({error}): register {target.id} with "
            "an entry point such as 'my_tasks:Pole', or use one process"
        ) from error


# What a worker keeps between runs. A queue can only be handed over when a process starts.
_news: Any = None


def _start_worker(news: Any, lifeline: Connection) -> None:
    global _news
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """End this process when the other end of the pipe is closed, or its process has ended."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


def _work_apart(index: int, data: bytes) -> Run:
    try:
        job, agent, target, known = pickle.loads(data)
    except (AttributeError, ImportError) as error:
        raise BadArgument(
            f"a worker process cannot find what this one defines ({error}): put it into a module "
            "of its own, or use one process"
        ) from error
    _register(job.spec.target, target, known)
    return work(job, agent, lambda steps, total: _news.put((index, steps)))


def _register(target: str, env_spec: EnvSpec, known: Task | None) -> None:
    if ":" in target:
        spec(target)  # The module registers it.
    else:
        gym.registry[env_spec.id] = env_spec
    if known is not None and known.id not in tasks():
        register_task(**{f.name: getattr(known, f.name) for f in fields(known)})
