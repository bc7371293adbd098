"""Places where a test can kill a process, to see that nothing is lost there.

Nothing happens unless the environment variable ``RLTRANSFER_FAULT`` is ``NAME:N``: then the process
that passes the point NAME for the N-th time dies as by ``kill -9``. ``RLTRANSFER_FAULT_ONCE`` names
a file that exists from then on, and while it exists no process dies.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

POINTS = (
    *("sweep.agent_written", "sweep.request_written", "local.launched", "local.reaped"),
    *("run.started", "run.trained", "store.staged", "store.linked", "store.unlinked"),
    *("store.published", "index.staged"),
)
"""Every point there is."""

_passed: dict[str, int] = {}


def point(name: str) -> None:
    """Die here, if a test wants it."""
    armed = os.environ.get("RLTRANSFER_FAULT")
    if armed is None:
        return
    wanted, _, count = armed.rpartition(":")
    if wanted != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] == int(count) and _first(os.environ.get("RLTRANSFER_FAULT_ONCE")):
        os.kill(os.getpid(), signal.SIGKILL)


def _first(path: str | None) -> bool:
    if path is None:
        return True
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        return True
    return False
