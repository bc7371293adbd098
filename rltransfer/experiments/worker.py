"""Executing one run of a store: what every engine does, wherever it does it.

By hand: ``python -m rltransfer.experiments.worker OUT ID``.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rltransfer.agents import Agent
from rltransfer.errors import (
    BadEnvironment,
    Diverged,
    Interrupted,
    NotWritable,
    TransferError,
    printable,
)
from rltransfer.experiments import events, kill_points
from rltransfer.experiments.outcome import Outcome, Status
from rltransfer.experiments.requests import Request
from rltransfer.experiments.run import Run, close, execute
from rltransfer.experiments.signals import Stop, catching
from rltransfer.experiments.store import Store
from rltransfer.training.threads import one_thread

EXIT_CODES: dict[Status, int] = {
    "done": 0,
    "failed": 1,
    "bad environment": 3,
    "out of memory": 4,
    "diverged": 5,
    "disk full": 6,
    "interrupted": 143,
}
"""How a worker process ends; every other code, or a signal, is ``lost``."""

GRACE = 20.0
"""Seconds for which a run goes on after SIGTERM if its next cut comes within them: less than a
supervisor waits."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def work(
    store: Store,
    id: str,
    report: Callable[[int, int], None],
    *,
    attempt: int = 1,
    source: Agent | None = None,
    stop: Stop | None = None,
) -> Outcome:
    """Execute a run of a store, unless its result is there, and keep its result or its failure.

    Args:
        store: Where the request is.
        id: Id of the run.
        report: Called with (steps done, steps in all), first with 0.
        attempt: How often this run was started, this time included.
        stop: Whether the run is asked to stop.
        source: The source agent, where this process has it and knows the target; otherwise both are
            taken from the store.

    Returns:
        How it ended. Every exception of the run is one of these.

    Raises:
        BadCheckpoint: The request, or a result that is there, is damaged.
    """
    request = store.request(id)
    outcome = Outcome(id=id, name=request.name, status="done", attempts=attempt)
    if store.result(id).exists():
        store.tidy(id, events_of(store, request))
        return outcome
    try:
        if source is None:
            request.register()
            source = store.agent(request.agent, request.live_classes())
        carry_out(store, request, source, report, stop)
    except Exception as error:
        outcome = failure(outcome, error)
        if outcome.status != "interrupted" and store.result(id).exists():
            # Another sweep has finished it in the meantime, and removed what this one worked on.
            return Outcome(id=id, name=request.name, status="done", attempts=attempt)
        with suppress(NotWritable):  # The disk is full: the exit code says so too.
            store.fail(outcome)
    return outcome


def carry_out(
    store: Store,
    request: Request,
    agent: Agent,
    report: Callable[[int, int], None],
    stop: Stop | None = None,
) -> Run:
    """Train and evaluate, and keep the result; nothing but a checkpoint is left of a failure.

    Raises:
        Exception: What went wrong.
    """
    spec, folder = request.spec, events_of(store, request)
    resumed = any(store.checkpoints(spec.id).glob("*"))
    # One thread always: sums must not depend on how many there are, here or elsewhere.
    result = store.result(spec.id)
    with events.recording(folder, resumed=resumed, result=result) as names, one_thread():
        kill_points.point("run.started")
        report(0, spec.steps)
        kept = store.checkpoints(spec.id)
        run, model = execute(spec, agent, folder, report, checkpoints=kept, stop=stop)
        close(model)
        kill_points.point("run.trained")
    store.publish(run, names=names, folder=folder)
    return run


def events_of(store: Store, request: Request) -> Path | None:
    """Folder of a run's TensorBoard events."""
    return store.path / request.events if request.events else None


def failure(outcome: Outcome, error: BaseException) -> Outcome:
    """Say how a run ended that raised an error.

    The message has the type of every error that is not one of ours.
    """
    words = " ".join(str(error).split())
    own = isinstance(error, TransferError)
    return replace(
        outcome,
        status=status_of(error),
        message=printable(words if own and words else f"{type(error).__name__}: {words}"),
        details=dict(getattr(error, "details", None) or {}),
    )


def status_of(error: BaseException) -> Status:
    """Name the way in which a run ended that raised an error."""
    kinds: tuple[tuple[type[BaseException], Status], ...] = (
        (BadEnvironment, "bad environment"),
        (MemoryError, "out of memory"),
        (Diverged, "diverged"),
        (Interrupted, "interrupted"),
    )
    for kind, status in kinds:
        if isinstance(error, kind):
            return status
    causes: list[Any] = [error, error.__cause__]
    full = isinstance(error, NotWritable | OSError) and any(
        isinstance(cause, OSError) and cause.errno in _FULL for cause in causes
    )
    return "disk full" if full else "failed"


def main(argv: list[str] | None = None) -> int:
    """Execute one run, and return the exit code of its status."""
    parser = argparse.ArgumentParser(description="Execute one run of a store.")
    parser.add_argument("out", type=Path, help="folder of the sweep")
    parser.add_argument("id", help="id of the run: the name of its file in OUT/requests")
    args = parser.parse_args(argv)
    try:
        with catching(GRACE) as stop:
            outcome = work(Store(args.out), args.id, lambda steps, total: None, stop=stop)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{outcome.name}: {outcome.status}" + f": {outcome.message}" * bool(outcome.message))
    return EXIT_CODES[outcome.status]


if __name__ == "__main__":
    sys.exit(main())
