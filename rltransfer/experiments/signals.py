"""Being asked to stop by SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rltransfer.errors import Interrupted

GRACE = 30.0
"""Seconds for which a run goes on after it was asked to stop, if its next cut comes within them."""


class Stop:
    """Whether a run was asked to stop, by which signal, and how long it may still take.

    Args:
        grace: Seconds from the request on.
        say: Called with what a run that goes on does in its grace; by default nobody hears it.

    Attributes:
        signal: Number of the first signal; 0 while there was none.
        count: How many came.
        say: As given.
    """

    def __init__(
        self, grace: float = GRACE, say: Callable[[str], object] = lambda words: None
    ) -> None:
        self.signal = self.count = 0
        self.say = say
        self._grace = grace
        self._since = 0.0

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask the run to stop; its grace begins with the first request."""
        self.count += 1
        if self.count == 1:
            self.signal, self._since = number, time.monotonic()

    def raise_if_asked(self) -> None:
        """Raise what a process raises that was asked to stop.

        Raises:
            KeyboardInterrupt: It was Ctrl-C.
            Interrupted: It was another signal.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal:
            words = f"interrupted by {self.name}; finished runs are kept"
            raise Interrupted(words, signal=self.signal)

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
def catching(
    grace: float = GRACE, say: Callable[[str], object] = lambda words: None
) -> Iterator[Stop]:
    """Turn the first SIGTERM or SIGINT into a request to stop; a second one acts at once.

    Outside the main thread, where Python handles no signals, nothing is caught.

    Args:
        grace: See :data:`GRACE`.
        say: As for :class:`Stop`.
    """
    stop = Stop(grace, say)

    def request(number: int, frame: FrameType | None) -> None:
        for one, default in _AT_ONCE.items():
            signal.signal(one, default)
        stop.request(number)

    with _handling(request):
        yield stop


@contextmanager
def noticing() -> Iterator[Stop]:
    """Count every SIGTERM and SIGINT instead of obeying it; see :func:`catching`."""
    stop = Stop()
    with _handling(lambda number, frame: stop.request(number)):
        yield stop


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, handler) for one in _AT_ONCE}
    try:
        yield
    finally:
        for one, earlier in before.items():
            signal.signal(one, earlier)


_AT_ONCE: dict[int, Any] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
