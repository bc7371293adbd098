"""What a run may take, and how much memory it takes."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from rltransfer.errors import BadArgument

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may take before it is ended.

    Memory is watched rather than bounded by ``RLIMIT_AS``: torch and CUDA reserve many times the
    addresses that they use, and the limit would hold for each process, not for a run with those of
    its environments. So a run can exceed it for about half a second.

    Attributes:
        timeout: Seconds from its start to its end; None for any.
        memory: GiB of memory of all its processes together; None for any.
        hang: Seconds without a sign of life (a step of an environment, an update) after which it
            is taken to hang.
        retries: How often a run is started again whose process ended without a word.
        grace: Seconds to save a checkpoint in, after SIGTERM or Ctrl-C.

    Raises:
        BadArgument: One is outside its range, or memory cannot be watched on this system.
    """

    timeout: float | None = None
    memory: float | None = None
    hang: float = 300.0
    retries: int = 2
    grace: float = 30.0

    def __post_init__(self) -> None:
        for part in fields(self):
            value, low = getattr(self, part.name), 0 if part.name in ("retries", "grace") else 1e-9
            optional = part.name in ("timeout", "memory")
            if value is None and optional:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= low:
                least = "a number >= 0" if low == 0 else "a positive number"
                raise BadArgument(f"{part.name} is {value!r}: expected {least}")
        if not isinstance(self.retries, int) or math.isinf(self.grace):
            raise BadArgument(f"retries is {self.retries!r}: expected a whole number >= 0")
        if self.memory is not None and not _PROC.joinpath("self/stat").exists():
            raise BadArgument("memory cannot be watched on this system: leave --memory away")


def memory_of(group: int) -> float:
    """GiB that the processes of a group hold.

    The sum of their proportional set sizes where the kernel tells them, so that what they share
    counts once.
    """
    total = 0
    for path in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.getpgid(int(path.name)) == group:
                total += _bytes_of(path)
    return total / 2**30


def _bytes_of(path: Path) -> int:
    with suppress(OSError):
        for line in (path / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return int((path / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
