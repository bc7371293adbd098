"""A progress display for one or many runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from rltransfer.experiments.jobs import Watch

# A rollout can take half a minute, and the speed is that of the last rollouts.
SPEED_SECONDS = 300.0


@contextmanager
def watching(total_steps: int, *, alone: bool = False) -> Iterator[Watch]:
    """Show the steps of all runs together, and a bar for each run that is under way.

    Without a terminal, one line is printed for each finished run of several.

    Args:
        total_steps: Steps of all runs together.
        alone: Whether there is only one run, whose own bar says it all.
    """
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=1)),
        BarColumn(bar_width=20),
        _Steps(table_column=Column(justify="right")),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        expand=True,
        speed_estimate_period=SPEED_SECONDS,
        disable=not console.is_terminal,
    ) as bars:
        yield _Display(bars, console, total_steps, alone=alone)


class _Steps(ProgressColumn):
    """Steps done and in all, such as 12,000/50,000."""

    def render(self, task: Task) -> Text:
        """Render the column of one bar."""
        total = f"{task.total:,.0f}" if task.total is not None else "?"
        return Text(f"{task.completed:,.0f}/{total}")


class _Display:
    """Turns the news of runs into bars."""

    def __init__(self, bars: Progress, console: Console, total_steps: int, *, alone: bool) -> None:
        self._bars, self._console, self._total = bars, console, total_steps
        self._all = None if alone else bars.add_task("all runs", total=total_steps)
        self._running: dict[str, TaskID] = {}
        self._steps: dict[str, int] = {}
        self._finished: set[str] = set()

    def __call__(self, name: str, steps: int, total: int) -> None:
        if name in self._finished:
            return
        reused = name not in self._steps and steps >= total
        self._steps[name] = steps
        if not reused:
            if name not in self._running:
                self._running[name] = self._bars.add_task(name, total=total)
            self._bars.update(self._running[name], completed=steps)
        self._show_all(reused)
        if steps >= total:
            self._finish(name, "found" if reused else "finished")

    def _show_all(self, reused: bool) -> None:
        if self._all is None:
            return
        done = sum(self._steps.values())
        if reused:  # Nothing was trained, so this says nothing of the time that is left.
            self._bars.reset(self._all, completed=done)
        else:
            self._bars.update(self._all, completed=done)

    def _finish(self, name: str, word: str) -> None:
        self._finished.add(name)
        if name in self._running and self._all is not None:
            self._bars.remove_task(self._running[name])
        if self._bars.disable and self._all is not None:
            part = sum(self._steps.values()) / self._total
            self._console.print(f"{part:4.0%}  {word} {name}", highlight=False, soft_wrap=True)
