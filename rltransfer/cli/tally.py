"""How far a set of runs is, and how long the rest will take."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rltransfer.experiments.outcome import Outcome

# A rollout can take half a minute, so the speed of a run is that of the last rollouts.
SPEED_SECONDS = 300.0


@dataclass(kw_only=True)
class Progress:
    """One run, as far as it has told.

    Attributes:
        name: Its short name.
        total: Its steps in all.
        steps: Its steps so far, those before an interruption included.
        status: ``running``, ``reused`` or a :data:`~rltransfer.experiments.outcome.Status`.
    """

    name: str
    total: int
    steps: int = 0
    status: str = "running"
    _first: tuple[float, int] = (0.0, 0)
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def tell(self, seconds: float, steps: int) -> None:
        """Note how many steps were done at a time."""
        if not self._recent:
            self._first = (seconds, steps)
        self.steps = steps
        self._recent.append((seconds, steps))
        while self._recent[0][0] < seconds - SPEED_SECONDS and len(self._recent) > 2:
            self._recent.popleft()

    @property
    def trained(self) -> int:
        """Steps that were trained while this was watched."""
        return self.steps - self._first[1] if self._recent else 0

    @property
    def seconds(self) -> float:
        """Time from the first news to the last."""
        return self._recent[-1][0] - self._first[0] if self._recent else 0.0

    @property
    def speed(self) -> float:
        """Steps per second over the last minutes; ``nan`` before the first rollout."""
        if not self._recent or self._recent[-1][0] == self._recent[0][0]:
            return math.nan
        (began, first), (ended, last) = self._recent[0], self._recent[-1]
        return (last - first) / (ended - began)


class Tally:
    """Counts runs by status and steps by time, from what :class:`Watch` is told.

    Args:
        total_steps: Steps of all runs together.
        runs: Number of runs; those of which nothing was heard are waiting. 0 if unknown.
        clock: Gives seconds.
    """

    def __init__(
        self, total_steps: int, runs: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total_steps, self._runs, self._clock = total_steps, runs, clock
        self._began = clock()
        self._known: dict[str, Progress] = {}

    def told(self, name: str, steps: int, total: int) -> str | None:
        """Take news of a run.

        Args:
            name: Of the run.
            steps: Its steps done.
            total: Its steps in all, told as done when its result is there.

        Returns:
            ``"started"`` for its first news, ``"found"`` or ``"finished"`` for its end, or None.
        """
        run = self._known.get(name)
        if run is None and steps >= total:
            self._known[name] = Progress(name=name, total=total, steps=total, status="reused")
            return "found"
        if run is not None and run.status in ("done", "reused"):
            return None
        # A run that failed, or that tells of fewer steps, has been started once more.
        if run is None or run.status != "running" or steps < run.steps:
            self._known[name] = Progress(name=name, total=total)
            self._known[name].tell(self._clock(), steps)
            return "started"
        run.tell(self._clock(), steps)
        if steps < total:
            return None
        run.status = "done"
        return "finished"

    def ended(self, outcome: Outcome) -> None:
        """Take the end of a run that has no result."""
        known = self._known.setdefault(outcome.name, Progress(name=outcome.name, total=0))
        if known.status not in ("done", "reused"):
            known.status = outcome.status

    @property
    def known(self) -> list[Progress]:
        """Every run of which something was heard, the first heard of first."""
        return list(self._known.values())

    @property
    def running(self) -> list[Progress]:
        """Those under way."""
        return [run for run in self._known.values() if run.status == "running"]

    @property
    def counts(self) -> dict[str, int]:
        """Runs by status: done, reused, running, waiting, and then the failures that there are."""
        found = Counter(run.status for run in self._known.values())
        waiting = max(0, self._runs - len(self._known))
        first = {name: found.pop(name, 0) for name in ("done", "reused", "running")}
        return {**first, "waiting": waiting, **dict(sorted(found.items()))}

    @property
    def failed(self) -> int:
        """Number of runs that ended without a result."""
        fine = ("done", "reused", "running")
        return sum(run.status not in fine for run in self._known.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    @property
    def steps(self) -> int:
        """Steps done, those of results that were found included."""
        return sum(run.steps for run in self._known.values())

    @property
    def speed(self) -> float:
        """Environment steps per second of all runs under way; 0 when nothing is."""
        return sum(run.speed for run in self.running if not math.isnan(run.speed))

    @property
    def left(self) -> float:
        """Seconds until all is done; ``nan`` before anything was trained.

        Steps that remain, by the speed of a run (that of the finished ones, each weighted by its
        steps; before there are any, of those under way), by the number of runs at once. It is never
        less than the slowest run under way needs.
        """
        rate = self._rate()
        if math.isnan(rate):
            return math.nan
        rest = [run.total - run.steps for run in self.running]
        lost = sum(run.total - run.steps for run in self._known.values()) - sum(rest)
        remaining = max(0, self.total_steps - self.steps - lost)
        return max(remaining / (rate * max(1, len(rest))), max(rest, default=0) / rate)

    def _rate(self) -> float:
        trained = [run for run in self._known.values() if run.status == "done" and run.trained]
        measured = trained or self.running
        seconds = sum(run.seconds for run in measured)
        steps = sum(run.trained for run in measured)
        # A run may tell of no steps twice: at its start, and before its first rollout.
        return steps / seconds if seconds > 0 and steps > 0 else math.nan
