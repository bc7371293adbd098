"""A run with a name, and those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from rltransfer.errors import TransferError
from rltransfer.experiments.outcome import Outcome
from rltransfer.experiments.spec import RunSpec

# Called with the name of a run, steps done and steps in all. A run that is trained says 0 first,
# and all of its steps only when its result is there; one whose result was found says that alone.
# A watcher with a method ended(outcome) hears of the runs that end without a result, too.
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """A run and what it is called.

    Attributes:
        label: Name of the comparison that it belongs to, such as the pair.
        spec: The run.
        source: Name of the source checkpoint, where a comparison has several.
    """

    label: str
    spec: RunSpec
    source: str = ""

    @property
    def name(self) -> str:
        """Short name for progress displays."""
        where = f" from {self.source}" if self.source else ""
        return f"{self.label} {self.spec.label}{where} seed {self.spec.seed}"


def tell(watch: Watch | None, job: Job, steps: int) -> None:
    """Tell the watcher how far a run is that is not finished."""
    if watch:
        watch(job.name, min(steps, job.spec.steps - 1), job.spec.steps)


def tell_finished(watch: Watch | None, job: Job) -> None:
    """Tell the watcher that the result of a run is there."""
    if watch:
        watch(job.name, job.spec.steps, job.spec.steps)


def tell_failed(watch: Watch | None, job: Job, outcome: Outcome) -> None:
    """Tell the watcher that a run ended without a result, if it has ears for that."""
    ended = getattr(watch, "ended", None)
    if ended is not None:
        ended(replace(outcome, name=job.name))


def raise_named(name: str, error: TransferError) -> NoReturn:
    """Raise the same error, with the name of the run before its message."""
    raise type(error)(f"{name}: {error}") from error
