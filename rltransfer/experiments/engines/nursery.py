"""The parent's side of :mod:`rltransfer.experiments.engines.forkserver`."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rltransfer.errors import TransferError
from rltransfer.experiments.engines.forkserver import LONGEST, kill_group

# Seconds for the server to import; on a busy machine that takes minutes.
_START = 600.0
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(kw_only=True, eq=False)
class Child:
    """A process that executes a run, in a process group of its own.

    Attributes:
        id: Id of the run.
        attempt: How often the run was started, this time included.
        pid: Number of the process and of its group.
        news: Pipe that it tells its steps on, and that it is alive.
        started: When it was started, by ``time.monotonic``.
        heard: When it was heard of for the last time.
        verdict: Why it was killed by us: a status and a message.
        code: Exit code, or minus the signal that ended it; None while it runs.
    """

    id: str
    attempt: int
    pid: int
    news: int
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    verdict: tuple[Any, str] | None = None
    code: int | None = None

    def steps(self) -> Iterator[int]:
        """Read what it told since the last time."""
        with suppress(BlockingIOError):
            while text := os.read(self.news, LONGEST):
                self.heard = time.monotonic()
                yield from (int(line) for line in text.split(b"\n") if line)

    def kill(self) -> None:
        """Kill it and the processes of its environments."""
        kill_group(self.pid)

    def ask_to_stop(self) -> None:
        """Let it save what it has done."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """Starts processes for runs, quickly, and notices when they end.

    Use it as a context manager: all of them end with it.
    """

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._start()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def launch(self, out: Path, id: str, attempt: int) -> Child:
        """Start a run.

        Raises:
            TransferError: No process can be started.
        """
        news, theirs = os.pipe()
        os.set_blocking(news, False)
        order = json.dumps({"out": str(out.absolute()), "id": id, "attempt": attempt})
        try:
            pid = self._ask(order.encode(), theirs)
        except BaseException:
            os.close(news)
            raise
        finally:
            os.close(theirs)
        child = Child(id=id, attempt=attempt, pid=pid, news=news)
        self._children[pid] = child
        return child

    def wait(self, seconds: float) -> list[Child]:
        """Wait until something is told, or for so long; returns the children that have ended."""
        ready = [self._control, *(child.news for child in self._children.values())]
        if not self._ended:
            select.select(ready, [], [], seconds)
        while select.select([self._control], [], [], 0)[0]:
            if not self._hear():
                self._lose_all()
                break
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """End all processes."""
        self._control.close()
        for child in [*self._children.values()]:
            child.kill()
            os.close(child.news)
        self._children.clear()
        with suppress(subprocess.TimeoutExpired):
            self._server.wait(5)
        self._server.kill()
        self._server.wait()
        os.close(self._lifeline)

    def forget(self, child: Child) -> None:
        """Close the pipe of a child that has ended."""
        os.close(child.news)

    def _start(self) -> None:
        self._control, control = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "from rltransfer.experiments.engines.forkserver import serve\n"
            f"serve({control.fileno()}, {lifeline})"
        )
        self._server = subprocess.Popen(
            [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", code],
            pass_fds=(control.fileno(), lifeline),
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,  # Out of the reach of Ctrl-C.
            stdin=subprocess.DEVNULL,
        )
        control.close()
        os.close(lifeline)
        self._lines: list[bytes] = []
        self._rest = b""
        self._ended: list[Child] = []
        self._started: list[int] = []
        self._control.settimeout(_START)
        if not self._hear():
            raise TransferError("worker processes cannot be started: see the error printed above")

    def _ask(self, order: bytes, theirs: int) -> int:
        try:
            socket.send_fds(self._control, [order], [theirs])
            while not self._started:
                if not self._hear():
                    raise ConnectionError
        except OSError:
            # The server was killed. What it had started is lost, and will be started again.
            self._lose_all()
            return self._ask(order, theirs)
        return self._started.pop()

    def _hear(self) -> bool:
        """Take in some messages; False if the server has ended."""
        try:
            text = self._control.recv(LONGEST)
        except OSError:
            text = b""
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "started" in message:
                self._started.append(message["started"])
            elif "ended" in message and message["ended"] in self._children:
                self._end(self._children[message["ended"]], message["code"])
        return bool(text)

    def _end(self, child: Child, code: int) -> None:
        child.code = code
        del self._children[child.pid]
        self._ended.append(child)

    def _lose_all(self) -> None:
        """Start anew after the server was killed; nobody tells any more how its children end."""
        for child in [*self._children.values()]:
            child.kill()
            self._end(child, -signal.SIGKILL)
        ended = self._ended
        self._server.kill()
        self._server.wait()
        self._control.close()
        os.close(self._lifeline)
        self._start()
        self._ended = ended
