"""Self-test of a task: that it runs, is what it says, and leaves other environments alone."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from gymnasium.envs.registration import EnvSpec

from rltransfer import registry
from rltransfer.checks import CHECKS, Case, Status
from rltransfer.registry import Task
from rltransfer.trajectories import Subject, gather, gather_in_worker

__all__ = ["CheckReport", "CheckResult", "check_task", "check_tasks"]

# Fixed: `differs_by` of a task is a statement about this sequence of random actions.
SEED = 0
STEPS = 100


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Attributes:
        name: What was checked.
        status: ``"ok"``, ``"failed"`` or ``"skipped"``.
        reason: One line.
    """

    name: str
    status: Status
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """Outcome of all checks of a task; ``str()`` of it is a table.

    Attributes:
        id: What was checked, as it was given.
        results: One entry a check.
        notes: Warnings that are no failures, each once.
    """

    id: str
    results: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(result.status != "failed" for result in self.results)

    def __str__(self) -> str:
        width = max(len(result.name) for result in self.results)
        lines = [f"  {r.status:<8} {r.name:<{width}}  {r.reason}" for r in self.results]
        notes = [f"  note     {note}" for note in self.notes]
        return "\n".join([f"{self.id}: {'ok' if self.ok else 'FAILED'}", *lines, *notes])


def check_task(id: str) -> CheckReport:
    """Check one task; see :func:`check_tasks`.

    Args:
        id: Gymnasium id, or ``module:id``.

    Raises:
        UnknownName: Gymnasium has no such id, or the module does not exist.
        BadEnvironment: The module raised an error while it was imported.
    """
    return check_tasks([id])[0]


def check_tasks(ids: Sequence[str]) -> list[CheckReport]:
    """Check tasks, with one worker process for all.

    A task is made, passes SB3's ``check_env``, repeats itself under one seed and the same actions,
    survives the JSON round trip of its spec, differs from its base by the step it declares, leaves
    instances of its base alone, runs the same in a process started with spawn, and yields finite
    numbers. All of it is seen over 100 steps of seeded random actions, or ``differs_by`` steps
    where a task declares more.

    A task that does not leave its base alone can spoil this check of others with the same base;
    check it alone to tell.

    A script that calls this needs ``if __name__ == "__main__":``, because of the worker.

    Args:
        ids: Gymnasium ids, or ``module:id``.

    Returns:
        One report a task.

    Raises:
        UnknownName: Gymnasium has no such id, or a module does not exist.
        BadEnvironment: A module raised an error while it was imported.
    """
    specs = [registry.spec(id) for id in ids]
    known = [registry.task(id) for id in ids]
    subjects = [
        # An id with a module goes to the worker as such: it has to find the module by itself.
        _subject(id if ":" in id else spec, task)
        for id, spec, task in zip(ids, specs, known, strict=True)
    ]
    here = gather(subjects)
    runnable = [subject for subject, found in zip(subjects, here, strict=True) if not found.error]
    there = iter(gather_in_worker(runnable))
    cases = [
        Case(spec, task, subject, found, found if found.error else next(there))
        for spec, task, subject, found in zip(specs, known, subjects, here, strict=True)
    ]
    return [_report(id, case) for id, case in zip(ids, cases, strict=True)]


def _subject(ref: str | EnvSpec, task: Task) -> Subject:
    base = None if task.base is None else registry.spec(task.base)
    return Subject(variant=ref, base=base, seed=SEED, steps=max(STEPS, task.differs_by))


def _report(id: str, case: Case) -> CheckReport:
    if case.here.error:
        made = CheckResult("can be made", "failed", case.here.error)
        skipped = (CheckResult(name, "skipped", "it cannot be made and stepped") for name in CHECKS)
        return CheckReport(id, (made, *skipped))
    made = CheckResult("can be made", "ok", f"and runs for {case.subject.steps} steps")
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        others = [CheckResult(name, *check(case, notes)) for name, check in CHECKS.items()]
    notes += [_plain(str(warning.message)) for warning in caught]
    return CheckReport(id, (made, *others), tuple(dict.fromkeys(notes)))


def _plain(message: str) -> str:
    """Put a warning on one line, without Gymnasium's colors."""
    return " ".join(re.sub(r"\x1b\[\d+m", "", message).split())
