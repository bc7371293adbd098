"""Ctrl-C and SIGTERM: the first asks the runs to save what they have, the second ends them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rltransfer.errors import Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether to stop.

    Attributes:
        signum: The first signal that came; None if none did.
        count: How many came.
    """

    signum: int | None = None
    count: int = 0

    def raise_if_asked(self) -> None:
        """Raise what a process raises that was asked to stop.

        Raises:
            KeyboardInterrupt: It was Ctrl-C.
            Interrupted: It was SIGTERM.
        """
        if self.signum == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signum is not None:
            raise Interrupted("interrupted by SIGTERM; finished runs are kept")


@contextmanager
def noticing() -> Iterator[Stop]:
    """Notice signals instead of obeying them; outside the main thread there are none."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def notice(signum: int, frame: Any) -> None:
        stop.count += 1
        stop.signum = stop.signum or signum

    before = {number: signal.signal(number, notice) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
