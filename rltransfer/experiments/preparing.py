"""What a sweep does before it trains: it finds results, refuses, tries out, writes requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rltransfer.agents import Agent
from rltransfer.errors import BadArgument, TransferError
from rltransfer.evaluate import Evaluator
from rltransfer.experiments import folders, kill_points, results
from rltransfer.experiments.jobs import Job, raise_named
from rltransfer.experiments.requests import Request
from rltransfer.experiments.run import build, close
from rltransfer.experiments.store import Store
from rltransfer.recipe import Recipe


class Prepared:
    """What is to be done.

    Args:
        jobs: The runs.
        sources: Their source agents by hash.
        store: Where results are.
        keep: Folder that the user gave; None if the store is for this sweep alone.

    Attributes:
        jobs: The jobs by the id of their run.
        found: The runs that have a result, by their id.
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
        runs = {id: store.find(same[0].spec) for id, same in self.jobs.items()}
        self.found = {id: run for id, run in runs.items() if run is not None}
        self.todo = {id: same[0] for id, same in self.jobs.items() if id not in self.found}

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
            kill_points.point("sweep.agent_written")
        for request in requests:
            self.store.write_request(request)
            kill_points.point("sweep.request_written")

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
