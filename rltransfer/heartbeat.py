"""A sign of life from within training and evaluation.

Whoever watches a run must see that it gets on, not that its process is there: a thread that says so
would say it for an environment that hangs, too. So the loops that step environments call
:func:`beat`.
"""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[], None] | None = None


def beat() -> None:
    """Say that something was done; next to free where nobody listens."""
    if _listener is not None:
        _listener()


def listen(listener: Callable[[], None] | None) -> None:
    """Call a function at every beat from now on; None stops it."""
    global _listener
    _listener = listener
