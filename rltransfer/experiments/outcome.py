"""How a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal[
    "done",
    "bad environment",
    "hung",
    "timeout",
    "out of memory",
    "diverged",
    "disk full",
    "interrupted",
    "lost",
    "failed",
]
"""``done``: its result is in the store. ``bad environment``: the environment broke its contract.
``hung``: nothing was heard of it for too long. ``timeout``: it took longer than allowed.
``out of memory``: it needed more memory than allowed. ``diverged``: a loss, gradient or weight is
not finite. ``disk full``: something could not be written. ``interrupted``: it was asked to stop,
and goes on from its checkpoint next time. ``lost``: its process ended without a word, as by
``kill -9``. ``failed``: any other error of ours."""

RETRIED: frozenset[Status] = frozenset({"lost"})
"""What is tried again at once: the others would end the same way."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run ended.

    Attributes:
        id: Id of the run; see ``RunSpec.id``.
        name: Its short name, for people.
        status: One of :data:`Status`.
        message: What went wrong, in one line; empty if nothing did.
        attempts: How often it was started by this sweep.
        details: JSON data that reproduces a failure, such as environment, step, seed and action.
    """

    id: str
    name: str
    status: Status
    message: str = ""
    attempts: int = 1
    details: Mapping[str, Any] = field(default_factory=dict)
