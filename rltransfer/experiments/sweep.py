"""Many runs, in this process or in others, each resumed from its finished result."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rltransfer.agents import Agent
from rltransfer.errors import LISTED, BadArgument, SweepFailed, TransferError
from rltransfer.evaluate import Evaluator
from rltransfer.experiments import faults, folders, results
from rltransfer.experiments.engines import EngineName, Limits, check_engine, engine
from rltransfer.experiments.engines.base import Done, Tell
from rltransfer.experiments.jobs import Job, Watch, raise_named, tell, tell_failed, tell_finished
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.requests import Request
from rltransfer.experiments.run import Run, build, close
from rltransfer.experiments.signals import catching
from rltransfer.experiments.spec import check_whole, source_hash
from rltransfer.experiments.store import Store
from rltransfer.experiments.worker import work
from rltransfer.recipe import Recipe


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
        plan = _Plan(jobs, {source_hash(agent): agent for agent in agents}, store, keep=out)
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
        return [_found(store, job) for job in jobs]


_engine = engine


@contextmanager
def _place(out: Path | None) -> Iterator[Store]:
    if out is not None:
        yield Store(out)
        return
    with tempfile.TemporaryDirectory(prefix="rltransfer-") as folder:
        yield Store(folder)


def _found(store: Store, job: Job) -> Run:
    run = store.find(job.spec)
    if run is None:
        raise SweepFailed(f"{job.name}: its result was removed from {store.path}")
    return run


class _Plan:
    """What is to be done.

    Args:
        jobs: The runs.
        sources: Their source agents by hash.
        store: Where results are.
        keep: Folder that the user gave; None if the store is for this sweep alone.

    Attributes:
        jobs: The jobs by the id of their run.
        found: Ids of the runs that have a result.
        todo: The other jobs by the id of their run, one for each.
    """

    def __init__(
        self, jobs: Sequence[Job], sources: Mapping[str, Agent], store: Store, *, keep: Path | None
    ) -> None:
        self.store, self.sources, self._keep = store, sources, keep
        self.jobs: dict[str, list[Job]] = {}
        for job in jobs:
            self.jobs.setdefault(job.spec.id, []).append(job)
        self._events = {id: self._event_folder(same[0]) for id, same in self.jobs.items()}
        self._refuse_shared_folders(jobs)
        if keep:
            folders.check_writable(keep)
            self._refuse_others()
        self.found = [id for id, same in self.jobs.items() if store.find(same[0].spec) is not None]
        found = set(self.found)
        self.todo = {id: same[0] for id, same in self.jobs.items() if id not in found}

    def prepare(self, *, apart: bool) -> None:
        """See that all can work, and write down what workers must know.

        Args:
            apart: Whether other processes do the work.
        """
        requests = [self._request(id, job, apart=apart) for id, job in self.todo.items()]
        rehearse(self.todo.values(), self.sources)
        for id in self.found:
            events = self._events[id]
            self.store.tidy(id, self.store.path / events if events else None)
        for hash in {request.agent for request in requests}:
            self.store.save_agent(self.sources[hash])
            faults.point("sweep.agent_written")
        for request in requests:
            self.store.write_request(request)
            faults.point("sweep.request_written")

    def _request(self, id: str, job: Job, *, apart: bool) -> Request:
        agent, events = self.sources[job.spec.source_hash], self._events[id]
        if apart:
            return Request.of(job, agent, events)
        return Request(name=job.name, spec=job.spec, agent=job.spec.source_hash, events=events)

    def _event_folder(self, job: Job) -> str:
        if self._keep is None:
            return ""
        return folders.event_folder(job.label, job.spec.seed, job.spec.label, job.source)

    def _refuse_shared_folders(self, jobs: Sequence[Job]) -> None:
        ids: dict[str, str] = {}
        for job in jobs:
            place = self._event_folder(job)
            if place and ids.setdefault(place, job.spec.id) != job.spec.id:
                raise BadArgument(f"two runs would write to {place}: give each another label")

    def _refuse_others(self) -> None:
        """Events of another run would be drawn together with those of a new one."""
        places = {events: id for id, events in self._events.items()}
        for request in self.store.requests():
            held, id = request.spec, places.get(request.events)
            if id is None or id == held.id or not self.store.result(held.id).exists():
                continue
            what = results.changed(held, self.jobs[id][0].spec)
            raise BadArgument(
                f"{self.store.path} holds a run called {request.name} with another "
                f"{what or 'version of rltransfer'}: choose another folder with --out, or remove "
                "this one"
            )


class _Watched:
    """Tells a watcher of the runs, and remembers which failed."""

    def __init__(self, plan: _Plan, watch: Watch | None) -> None:
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


def rehearse(jobs: Iterable[Job], sources: Mapping[str, Agent]) -> None:
    """Build every distinct run once.

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
    Evaluator(spec.target, episodes=1, max_steps=spec.max_steps).close()
    # A recipe that is chosen by acting on the target is not known yet, and makes itself fit.
    if Recipe.from_dict(spec.recipe).select is None:
        close(build(spec, agent))


def _here(plan: _Plan, tell: Tell, done: Done) -> None:
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
