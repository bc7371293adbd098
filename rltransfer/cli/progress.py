"""A progress display for one or many runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from rltransfer.cli.sweep_events import SweepEvents
from rltransfer.cli.tally import Tally
from rltransfer.experiments.outcome import Outcome

_BAR = 20


class Watcher(Protocol):
    """What is told of runs: a :data:`~rltransfer.experiments.jobs.Watch` that hears of failures."""

    def __call__(self, name: str, steps: int, total: int) -> None:
        """Hear how many steps of a run are done."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """Hear how a run ended."""
        ...


@contextmanager
def watching(
    total_steps: int, *, alone: bool = False, runs: int = 0, events: Path | None = None
) -> Iterator[Watcher]:
    """Show how many runs are in which state, and a bar for each that is under way.

    Without a terminal, one line is printed for each run of several that ends.

    Args:
        total_steps: Steps of all runs together.
        alone: Whether there is only one run, whose own bar says it all.
        runs: Number of runs, to say how many are waiting; 0 if it is not known.
        events: Folder for TensorBoard's curves of the progress, None to write none.

    Raises:
        NotWritable: ``events`` cannot be written.
    """
    console = Console(stderr=True)
    curves = SweepEvents(events) if events else None
    display = _Display(console, Tally(total_steps, runs), curves, alone=alone)
    try:
        if console.is_terminal:
            with Live(console=console, get_renderable=display.shown, refresh_per_second=4) as live:
                display.refresh = live.refresh
                yield display
        else:
            yield display
    finally:
        display.close()


class _Display:
    """Turns the news of runs into a table, or into lines."""

    def __init__(
        self, console: Console, tally: Tally, curves: SweepEvents | None, *, alone: bool
    ) -> None:
        self._console, self._tally, self._curves, self._alone = console, tally, curves, alone
        self._lock = Lock()  # The table is drawn in a thread of its own.
        self.refresh: Callable[[], object] = lambda: None

    def __call__(self, name: str, steps: int, total: int) -> None:
        with self._lock:
            word = self._tally.told(name, steps, total)
        if word in ("found", "finished") and not (self._alone or self._console.is_terminal):
            self._say(f"{word} {name}")
        if word:  # However short it is, a run is seen.
            self.refresh()
        self._note(now=word is not None)

    def ended(self, outcome: Outcome) -> None:
        """Hear how a run ended; what is done was told with its steps."""
        if outcome.status == "done":
            return
        with self._lock:
            self._tally.ended(outcome)
        reason = f": {outcome.message}" if outcome.message else ""
        self._say(f"{outcome.status}: {outcome.name}{reason}")
        self._note(now=True)

    def close(self) -> None:
        """Write the last point of the curves."""
        self._note(now=True)
        if self._curves:
            self._curves.close()

    def shown(self) -> RenderableType:
        """Build the table as it is now."""
        with self._lock:
            room = max(1, self._console.size.height - 4)
            running = self._tally.known if self._alone else self._tally.running
            table = Table.grid(*_columns(), padding=(0, 1), expand=True)
            for run in running[:room]:
                left = (run.total - run.steps) / (run.speed or math.nan)
                table.add_row(Text(run.name), *_cells(run.steps, run.total, run.speed, left))
            if self._alone:
                return table
            table.add_row(f"and {len(running) - room} more" if len(running) > room else "")
            return Group(_totals(self._tally), table)

    def _say(self, text: str) -> None:
        part = self._tally.steps / max(1, self._tally.total_steps)
        self._console.print(f"{part:4.0%}  {text}", highlight=False, markup=False, soft_wrap=True)

    def _note(self, *, now: bool) -> None:
        if self._curves:
            with self._lock:
                self._curves.note(self._tally, now=now)


def _totals(tally: Tally) -> RenderableType:
    """One line with the counts, and one with a bar for all steps."""
    counts = ", ".join(f"{n} {name}" for name, n in tally.counts.items() if n or name == "done")
    table = Table.grid(*_columns(), padding=(0, 1), expand=True)
    cells = _cells(tally.steps, tally.total_steps, tally.speed, tally.left)
    table.add_row("all runs", *cells)
    said = f"{counts}; {_duration(tally.elapsed)} so far"
    return Group(Text(said, overflow="ellipsis", no_wrap=True), table)


def _cells(steps: int, total: int, speed: float, left: float) -> tuple[RenderableType, ...]:
    return (
        ProgressBar(total=total, completed=steps, width=_BAR),
        f"{steps:,}/{total:,}",
        "" if math.isnan(speed) or not speed else f"{speed:,.0f}/s",
        "" if math.isnan(left) else f"{_duration(left)} left",
    )


def _columns() -> list[Column]:
    name = Column(no_wrap=True, ratio=1, overflow="ellipsis")
    widths = [Column(justify="right", no_wrap=True) for _ in range(3)]
    return [name, Column(width=_BAR), *widths]


def _duration(seconds: float) -> str:
    """Format a time such as ``40 s``, ``12 min`` or ``1 h 05 min``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
