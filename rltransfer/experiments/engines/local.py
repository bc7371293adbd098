"""Runs on this machine: each in a process that can be watched, limited and killed."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rltransfer.errors import NotWritable
from rltransfer.experiments import kill_points
from rltransfer.experiments.engines.base import Done, Tell
from rltransfer.experiments.engines.limits import Limits, memory_of
from rltransfer.experiments.engines.nursery import Child, Nursery
from rltransfer.experiments.outcome import RETRIED, Outcome
from rltransfer.experiments.signals import Stop, noticing
from rltransfer.experiments.store import Store
from rltransfer.experiments.worker import EXIT_CODES

# Limits are looked at so often, in seconds.
TICK = 0.25
_STATUS_OF: dict[int, Any] = {code: status for status, code in EXIT_CODES.items()}


def run(
    store: Store,
    ids: Sequence[str],
    *,
    workers: int,
    limits: Limits,
    tell: Tell,
    done: Done,
    address: str | None = None,
) -> None:
    """Execute runs; see :class:`rltransfer.experiments.engines.base.Engine`."""
    with noticing() as stop, Nursery() as nursery:
        supervise(nursery, stop, store, ids, workers=workers, limits=limits, tell=tell, done=done)
        stop.raise_if_asked()


def supervise(
    nursery: Nursery,
    stop: Stop,
    store: Store,
    ids: Sequence[str],
    *,
    workers: int,
    limits: Limits,
    tell: Tell,
    done: Done,
) -> None:
    """Execute runs until all have ended, or as many as end in time when asked to stop."""
    Supervisor(nursery, stop, store, workers, limits, tell, done, deque((i, 1) for i in ids)).loop()


@dataclass
class Supervisor:
    """Starts runs, watches them, and judges how they ended."""

    nursery: Nursery
    stop: Stop
    store: Store
    workers: int
    limits: Limits
    tell: Tell
    done: Done
    waiting: deque[tuple[str, int]]
    running: list[Child] = field(default_factory=list)
    deadline: float | None = None

    def loop(self) -> None:
        """Work until nothing is left to do."""
        while (self.waiting and not self.stop.count) or self.running:
            while self.waiting and len(self.running) < self.workers and not self.stop.count:
                self._launch(*self.waiting.popleft())
            ended = self.nursery.wait(TICK)
            for child in self.running:
                for steps in child.steps():
                    self.tell(child.id, steps)
            for child in ended:
                self._end(child)
            self._stop() if self.stop.count else self._limit()

    def _launch(self, id: str, attempt: int) -> None:
        self.store.forget_failure(id)
        self.running.append(self.nursery.launch(self.store.path, id, attempt))
        kill_points.point("local.launched")

    def _end(self, child: Child) -> None:
        self.running.remove(child)
        self.nursery.forget(child)
        kill_points.point("local.reaped")
        outcome = self._judge(child)
        if outcome.status in RETRIED and child.attempt <= self.limits.retries:
            self.waiting.append((child.id, child.attempt + 1))
        else:
            self.done(outcome)

    def _judge(self, child: Child) -> Outcome:
        name = self.store.request(child.id).name
        base = {"id": child.id, "name": name, "attempts": child.attempt}
        if self.store.result(child.id).exists():
            return Outcome(**base, status="done")
        if child.verdict is not None:
            status, message = child.verdict
        elif child.code in _STATUS_OF:
            noted = self.store.failure(child.id)
            if noted is not None:
                return noted
            status, message = _STATUS_OF[child.code], "it could not be noted why"
        else:
            status, message = "lost", _words(child.code)
        outcome = Outcome(**base, status=status, message=message)
        with suppress(NotWritable):
            self.store.fail(outcome)
        return outcome

    def _limit(self) -> None:
        now = time.monotonic()
        for child in self.running:
            child.verdict = child.verdict or self._exceeded(child, now)
            if child.verdict is not None:
                child.kill()

    def _exceeded(self, child: Child, now: float) -> tuple[Any, str] | None:
        limits = self.limits
        if now - child.heard > limits.hang:
            return "hung", f"no sign of life for {limits.hang:g} s: see --hang"
        if limits.timeout is not None and now - child.started > limits.timeout:
            return "timeout", f"not finished after {limits.timeout:g} s: see --timeout"
        if limits.memory is not None and (held := memory_of(child.pid)) > limits.memory:
            words = f"{held:.2f} GiB, more than the {limits.memory:g} GiB of --memory"
            return "out of memory", words
        return None

    def _stop(self) -> None:
        """Let the runs save, and kill those that take too long, or all at a second signal."""
        now = time.monotonic()
        if self.deadline is None:
            self.deadline = now + self.limits.grace
            for child in self.running:
                child.ask_to_stop()
        if now > self.deadline or self.stop.count > 1:
            for child in self.running:
                child.verdict = child.verdict or ("interrupted", "killed: it did not stop in time")
                child.kill()


def _words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    return f"its process was ended by {signal.Signals(-code).name}"
