"""A run with a name and a place, and how it is worked through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rltransfer.agents import Agent
from rltransfer.errors import TransferError
from rltransfer.experiments import folders, store
from rltransfer.experiments.run import Run, close, execute
from rltransfer.experiments.spec import RunSpec
from rltransfer.training.threads import one_thread

# Called with the name of a run, steps done and steps in all. A run that is trained says 0 first,
# and all of its steps only when its result is there; one whose result was found says that alone.
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """A run and where its result goes.

    Attributes:
        label: Name of the comparison that it belongs to, such as the pair.
        spec: The run.
        folder: Its folder, None to keep nothing.
    """

    label: str
    spec: RunSpec
    folder: Path | None

    @property
    def name(self) -> str:
        """Short name for progress displays."""
        return f"{self.label} {self.spec.label} seed {self.spec.seed}"


def work(job: Job, agent: Agent, report: Callable[[int, int], None]) -> Run:
    """Execute one run and store its result; nothing is left of one that fails.

    Args:
        job: The run.
        agent: Its source.
        report: Called with (steps done, steps in all), first with 0.

    Raises:
        TransferError: It failed; the message begins with its name.
    """
    try:
        # One thread always: sums must not depend on how many there are, here or in a worker.
        with folders.attempt(job.folder), one_thread():
            report(0, job.spec.steps)
            run, model = execute(job.spec, agent, job.folder, report)
            close(model)
            if job.folder:
                store.save(job.folder, run)
    except TransferError as error:
        raise_named(job.name, error)
    return run


def tell(watch: Watch | None, job: Job, steps: int) -> None:
    """Tell the watcher how far a run is that is not finished."""
    if watch:
        watch(job.name, min(steps, job.spec.steps - 1), job.spec.steps)


def tell_finished(watch: Watch | None, job: Job) -> None:
    """Tell the watcher that the result of a run is there."""
    if watch:
        watch(job.name, job.spec.steps, job.spec.steps)


def raise_named(name: str, error: TransferError) -> NoReturn:
    """Raise the same error, with the name of the run before its message."""
    raise type(error)(f"{name}: {error}") from error
