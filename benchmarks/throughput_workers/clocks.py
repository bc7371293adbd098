"""Seconds by phase, measured from outside: the same way for every implementation."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

#: Stepping environments; choosing actions and keeping books about them; updating; the rest.
PHASES = ("env", "rollout", "update", "other")
OTHER = "other"


class Clocks:
    """Charges every moment to one phase, the innermost that was entered.

    Reading the clock costs about 1 us for each step of the vectorized environments.

    Args:
        synchronize: Waits for the device; called where rollouts and updates begin and end.
    """

    def __init__(self, synchronize: Callable[[], None] | None = None) -> None:
        self._synchronize = synchronize
        self._phase = OTHER
        self._since = time.perf_counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self.entries: Counter[str] = Counter()

    def start(self) -> None:
        """Forget what was measured, and start."""
        if self._synchronize:
            self._synchronize()
        self.seconds.clear()
        self.entries.clear()
        self._phase, self._since = OTHER, time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Charge the time until now, and return seconds by phase."""
        if self._synchronize:
            self._synchronize()
        self._switch(OTHER)
        return {phase: self.seconds[phase] for phase in PHASES}

    def attach(self, learner: Any) -> None:
        """Wrap methods of a learner that has SB3's: of this object only, not of its class."""
        venv = learner.get_env()
        # SB3's step is these two, and each may be called on its own.
        for name in ("step", "step_async", "step_wait"):
            if hasattr(venv, name):
                self._wrap(venv, name, "env", wait=False)
        self._wrap(learner, "collect_rollouts", "rollout", wait=True)
        self._wrap(learner, "train", "update", wait=True)

    def _wrap(self, owner: Any, name: str, phase: str, *, wait: bool) -> None:
        inner = getattr(owner, name)
        synchronize = self._synchronize if wait else None

        def timed(*args: Any, **kwargs: Any) -> Any:
            before = self._phase
            if before == phase:
                return inner(*args, **kwargs)
            self.entries[phase] += 1
            self._switch(phase)
            try:
                return inner(*args, **kwargs)
            finally:
                if synchronize:
                    synchronize()
                self._switch(before)

        setattr(owner, name, timed)

    def _switch(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now
