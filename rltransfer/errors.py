"""Errors that a user can cause and cure.

Each message is one line: what was given, what was expected, what to do instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from signal import SIGTERM
from typing import Any

# Names that an error lists; more would hide the suggestion before them.
LISTED = 20


class TransferError(Exception):
    """Root of every error that rltransfer raises on purpose."""


class UnknownName(TransferError):
    """No task, pair, agent, recipe, adapter or layer group has that name."""


class BadArgument(TransferError):
    """An argument is outside its range."""


class RecipeError(TransferError):
    """A recipe contradicts itself, or does not fit the policy."""


class SpaceMismatch(TransferError):
    """Source and target spaces differ, and nothing was said about how to bridge them."""


class RegistrationConflict(TransferError):
    """The name is taken by something different."""


class BadCheckpoint(TransferError):
    """A file is corrupt, truncated, of another version, or not an agent."""


class BadEnvironment(TransferError):
    """An environment broke its contract (non-finite observation, wrong shape, ...).

    Args:
        message: One line.
        details: JSON data that reproduces it, kept as the attribute of that name: task, index,
            step, seed, episode, action and problem, as far as they are known; see
            :func:`rltransfer.faults.broken`. It survives the way through a pipe.
    """

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details: Mapping[str, Any] = dict(details or {})


class WorkerGone(BadEnvironment):
    """The process of an environment ended, or does not answer; the details have index, problem."""


class EnvironmentWarning(UserWarning):
    """An environment does what is not quite right, but breaks nothing."""


class Diverged(TransferError):
    """Training produced a loss, gradient or weight that is not finite.

    Attributes:
        details: JSON data: ``step``, ``groups`` (layer groups) and ``learning_rate``.
    """

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class Interrupted(TransferError):
    """Training was asked to stop; what was done up to its last checkpoint is saved.

    Attributes:
        signal: Number of the signal that asked.
    """

    def __init__(self, message: str, *, signal: int = SIGTERM) -> None:
        super().__init__(message)
        self.signal = signal


class SweepFailed(TransferError):
    """Some runs of a sweep ended without a result; all others are finished and kept."""


class MissingExtra(TransferError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, what: str, extra: str) -> MissingExtra:
        """Build the error that names the command to type.

        Args:
            what: The thing that cannot be used, such as a task id.
            extra: The extra of rltransfer that brings it.
        """
        return cls(f"{what} needs an extra: pip install 'rltransfer[{extra}]'")


class NotReachable(TransferError):
    """A server cannot be reached, refuses, or answers with something else than was asked for."""


class NotWritable(TransferError):
    """A file or folder cannot be written."""


def printable(text: str) -> str:
    """Replace what a terminal would act upon: names that come from files may hold it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def suggest(name: str, options: Iterable[str], *, kind: str, limit: int | None = LISTED) -> str:
    """Say that ``name`` is unknown, what it may have meant, and what exists.

    Args:
        name: What the user typed.
        options: The valid names, in the order in which they should be listed.
        kind: What is being named, such as ``"task"``.
        limit: Names to list at the most, where ``rltransfer ls`` has the rest; None lists all.

    Returns:
        One line for an :class:`UnknownName`.
    """
    options = list(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(options[:limit]) if options else "(none)"
    if limit is not None and len(options) > limit:
        listed += f" and {len(options) - limit} more (see `rltransfer ls`)"
    return f"no {kind} is named {name!r}.{hint} Known: {listed}"
