"""Being asked to stop by SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GRACE = 30.0
"""Seconds for which a run goes on after it was asked to stop, if its next cut comes within them."""


class Stop:
    """Whether a run was asked to stop, by which signal, and how long it may still take.

    Args:
        grace: Seconds from the request on.

    Attributes:
        signal: Number of the signal; 0 while there was none.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.signal = 0
        self._grace = grace
        self._since = 0.0

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask the run to stop."""
        self.signal, self._since = number, time.monotonic()

    @property
    def seconds_left(self) -> float:
        """Seconds of grace that are left, at least 0; all of them while nobody asked."""
        spent = time.monotonic() - self._since if self.signal else 0.0
        return max(0.0, self._grace - spent)

    @property
    def name(self) -> str:
        """Name of the signal, such as ``"SIGTERM"``."""
        return signal.Signals(self.signal).name if self.signal else "no signal"


@contextmanager
def catching(grace: float = GRACE) -> Iterator[Stop]:
    """Turn the first SIGTERM or SIGINT into a request to stop; a second one acts at once.

    Outside the main thread, where Python handles no signals, nothing is caught.

    Args:
        grace: See :data:`GRACE`.
    """
    stop = Stop(grace)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: FrameType | None) -> None:
        for one, default in _AT_ONCE.items():
            signal.signal(one, default)
        stop.request(number)

    before = {one: signal.signal(one, request) for one in _AT_ONCE}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


_AT_ONCE: dict[int, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
