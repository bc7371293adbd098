"""Many runs, in this process or in others, each resumed from its finished result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rltransfer.agents import Agent
from rltransfer.errors import LISTED, SweepFailed
from rltransfer.experiments.engines import EngineName, Limits, check_engine, engine
from rltransfer.experiments.engines.base import Done, Tell
from rltransfer.experiments.jobs import Job, Watch, tell, tell_failed, tell_finished
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.preparing import Prepared
from rltransfer.experiments.run import Run
from rltransfer.experiments.signals import catching
from rltransfer.experiments.spec import check_whole, source_hash
from rltransfer.experiments.store import Store
from rltransfer.experiments.worker import work


def sweep(
    jobs: Sequence[Job],
    agents: Iterable[Agent],
    *,
    out: Path | None = None,
    processes: int = 1,
    engine: EngineName | None = None,
    address: str | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
) -> list[Run]:
    """Execute runs, reusing the results that are there.

    Every distinct run is built once before any is trained, so that what cannot work is refused at
    once. A run that fails later stops none of the others. Jobs with the same ``spec.id`` share one
    run.

    Args:
        jobs: The runs.
        agents: Their source agents.
        out: Folder of the results, see :class:`Store`; None keeps nothing.
        processes: Runs at a time. Each uses one thread, so that the number does not change the
            results.
        engine: Who executes them; by default this process if there is one at a time, and processes
            of this machine otherwise.
        address: Of the cluster, for engines that have one.
        limits: What each run may take.
        watch: Called as the runs proceed.

    Returns:
        Runs in the order of ``jobs``.

    Raises:
        BadArgument: ``processes`` < 1, or the folder holds another run under the name of one of
            these.
        SweepFailed: Some runs failed, and all others are finished and kept.
        TransferError: A run cannot work; the message begins with its name. None was trained.
        Interrupted: After SIGTERM; finished runs are kept.
    """
    check_whole("jobs", processes, 1)
    name: EngineName = engine or ("here" if processes == 1 else "local")
    check_engine(name)
    with _place(out) as store:
        plan = Prepared(jobs, {source_hash(agent): agent for agent in agents}, store, keep=out)
        plan.prepare(apart=name != "here")
        runs = _Watched(plan, watch)
        settings = {"limits": limits or Limits(), "address": address}
        if name == "here":
            _here(plan, runs.tell, runs.done)
        elif plan.todo:
            _engine(name)(
                store, [*plan.todo], workers=min(processes, len(plan.todo)), tell=runs.tell,
                done=runs.done, **settings,
            )  # fmt: skip
        runs.raise_failures()
        return [_result(plan, job) for job in jobs]


_engine = engine


@contextmanager
def _place(out: Path | None) -> Iterator[Store]:
    if out is not None:
        yield Store(out)
        return
    with tempfile.TemporaryDirectory(prefix="rltransfer-") as folder:
        yield Store(folder)


def _result(plan: Prepared, job: Job) -> Run:
    run = plan.found.get(job.spec.id) or plan.store.find(job.spec)
    if run is None:
        raise SweepFailed(f"{job.name}: its result was removed from {plan.store.path}")
    return replace(run, spec=job.spec)


class _Watched:
    """Tells a watcher of the runs, and remembers which failed."""

    def __init__(self, plan: Prepared, watch: Watch | None) -> None:
        self._plan, self._watch = plan, watch
        self._failed: list[Outcome] = []
        for id in plan.found:
            self._finished(id)

    def tell(self, id: str, steps: int) -> None:
        """Say how far a run is."""
        for job in self._plan.jobs[id]:
            tell(self._watch, job, steps)

    def done(self, outcome: Outcome) -> None:
        """Say that a run has ended."""
        if outcome.status == "done":
            self._finished(outcome.id)
        else:
            self._failed.append(outcome)
            for job in self._plan.jobs[outcome.id]:
                tell_failed(self._watch, job, outcome)

    def raise_failures(self) -> None:
        """Raise one error for all the runs that failed.

        Raises:
            SweepFailed: There are some.
        """
        if self._failed:
            shown = [f"{one.name}: {one.status}: {one.message}" for one in self._failed[:LISTED]]
            if more := len(self._failed) - len(shown):
                shown.append(f"and {more} more, see failures/*.json")
            raise SweepFailed(
                f"{len(self._failed)} of {len(self._plan.jobs)} runs ended without a result, the "
                f"others are kept: {'; '.join(shown)}"
            )

    def _finished(self, id: str) -> None:
        for job in self._plan.jobs[id]:
            tell_finished(self._watch, job)


def _here(plan: Prepared, tell: Tell, done: Done) -> None:
    """Execute runs one after the other in this process.

    Raises:
        KeyboardInterrupt: After Ctrl-C, when the run could save what it had done.
        Interrupted: After SIGTERM, likewise.
    """
    with catching() as stop:
        for id, job in plan.todo.items():
            source = plan.sources[job.spec.source_hash]
            report = lambda steps, total, id=id: tell(id, steps)  # noqa: E731
            outcome = work(plan.store, id, report, source=source, stop=stop)
            if outcome.status != "interrupted":
                done(outcome)
            if stop.signal:
                break
    stop.raise_if_asked()
