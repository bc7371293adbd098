"""Places where a test can kill a process, to see that nothing is lost there.

Nothing happens unless the environment variable ``RLTRANSFER_FAULT`` is ``NAME:N``, or several of
these with commas: then the process that passes the point NAME for the N-th time dies as by
``kill -9``. ``RLTRANSFER_FAULT_ONCE`` names a folder that holds a file NAME from then on, and while
it does, no process dies at this point.
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
    for one in armed.split(","):
        wanted, _, count = one.rpartition(":")
        if wanted == name:
            _pass(name, int(count))


def _pass(name: str, count: int) -> None:
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] == count and _first(name):
        os.kill(os.getpid(), signal.SIGKILL)


def _first(name: str) -> bool:
    folder = os.environ.get("RLTRANSFER_FAULT_ONCE")
    if folder is None:
        return True
    with suppress(FileExistsError):
        os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL))
        return True
    return False
