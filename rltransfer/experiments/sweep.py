"""Many runs, in this process or in several, each resumed from its finished result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, TransferError
from rltransfer.evaluate import Evaluator
from rltransfer.experiments import folders, store
from rltransfer.experiments.jobs import Job, Watch, raise_named, tell, tell_finished, work
from rltransfer.experiments.run import Run, build, close
from rltransfer.experiments.spec import check_whole, source_hash
from rltransfer.experiments.workers import run_apart
from rltransfer.recipe import Recipe


def sweep(
    jobs: Sequence[Job],
    agents: Iterable[Agent],
    *,
    processes: int = 1,
    watch: Watch | None = None,
) -> list[Run]:
    """Execute runs, reusing the results that are there.

    Every distinct run is built once before any is trained, so that what cannot work is refused at
    once. If a run fails, or after Ctrl-C, the finished ones are kept and nothing of the others.

    Args:
        jobs: The runs.
        agents: Their source agents.
        processes: Worker processes; 1 trains in this one. Each uses one thread, so that the number
            does not change the results.
        watch: Called as the runs proceed.

    Returns:
        Runs in the order of ``jobs``.

    Raises:
        BadArgument: ``processes`` < 1, a folder holds a run with other settings, or two jobs share
            one.
        TransferError: A run failed; the message begins with its name.
    """
    check_whole("jobs", processes, 1)
    _refuse_shared_folders(jobs)
    sources = {source_hash(agent): agent for agent in agents}
    runs = {i: run for i, job in enumerate(jobs) if (run := _finished(job)) is not None}
    todo = {i: job for i, job in enumerate(jobs) if i not in runs}
    rehearse(todo.values(), sources)
    for i in runs:
        tell_finished(watch, jobs[i])
    if processes == 1 or len(todo) <= 1:
        runs |= _here(todo, sources, watch)
    else:
        runs |= run_apart(todo, sources, processes, watch)
    return [runs[i] for i in range(len(jobs))]


def rehearse(jobs: Iterable[Job], sources: Mapping[str, Agent]) -> None:
    """Build every distinct run once, and see that its output can be written.

    Args:
        jobs: The runs.
        sources: Source agents by hash.

    Raises:
        TransferError: One cannot be built; the message begins with its name.
    """
    seen: set[str] = set()
    for job in jobs:
        spec = job.spec
        kind = json.dumps([spec.source_hash, spec.target, spec.recipe, spec.hyperparameters])
        if kind not in seen:
            try:
                _rehearse(job, sources[spec.source_hash])
            except TransferError as error:
                raise_named(f"{job.label} {spec.label}", error)
        seen.add(kind)


def _rehearse(job: Job, agent: Agent) -> None:
    spec = job.spec
    if job.folder:
        folders.check_writable(job.folder)
    Evaluator(spec.target, episodes=1, max_steps=spec.max_steps).close()
    # A recipe that is chosen by acting on the target is not known yet, and makes itself fit.
    if Recipe.from_dict(spec.recipe).select is None:
        close(build(spec, agent))


def _finished(job: Job) -> Run | None:
    return store.find(job.folder, job.spec) if job.folder else None


def _refuse_shared_folders(jobs: Sequence[Job]) -> None:
    places = [job.folder for job in jobs if job.folder]
    shared = next((place for i, place in enumerate(places) if place in places[:i]), None)
    if shared:
        raise BadArgument(f"two runs would write to {shared}: give each another label")


def _here(
    jobs: Mapping[int, Job], sources: Mapping[str, Agent], watch: Watch | None
) -> dict[int, Run]:
    runs = {}
    for i, job in jobs.items():
        runs[i] = work(job, sources[job.spec.source_hash], _reporter(watch, job))
        tell_finished(watch, job)
    return runs


def _reporter(watch: Watch | None, job: Job) -> Callable[[int, int], None]:
    return lambda steps, total: tell(watch, job, steps)
