"""Files of TensorBoard events: in the end a run has those of the attempt that gave its result.

Two attempts in one folder would be drawn as one curve. Attempts may come from several sweeps and
machines at once, so none touches the files of another that may be alive, until there is a result.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rltransfer.errors import Interrupted
from rltransfer.experiments import folders


@contextmanager
def recording(folder: Path | None, *, resumed: bool, result: Path) -> Iterator[list[str]]:
    """Let one attempt write events; if it fails, they go.

    Args:
        folder: Where they go; None for nowhere.
        resumed: Whether it goes on from a checkpoint of an earlier attempt, whose events are then
            the beginning of its own.
        result: Of the run. Once it is there, the events of the attempt that gave it stay.

    Yields:
        The names of its files, filled in when the attempt is finished.
    """
    names: list[str] = []
    if folder is None:
        yield names
        return
    created = folders.missing(folder)
    if not resumed:
        dead = [name for name in _names(folder) if _is_dead(name)]
        # Looked for last: whoever has ended by now has written it before, if ever.
        if not result.exists():
            _remove(folder, dead)
    before = set(_names(folder))
    try:
        yield names
    except Interrupted:
        raise  # It goes on from its checkpoint.
    except BaseException:
        _remove(folder, _own(folder, before))
        folders.remove_empty(created)
        raise
    names += sorted(_own(folder, before) | (before if resumed else set()))


def keep(folder: Path | None, names: Iterable[str]) -> None:
    """Remove all events but those of the attempt that gave the result."""
    if folder is not None:
        _remove(folder, set(_names(folder)) - set(names))


def _own(folder: Path, before: set[str]) -> set[str]:
    """New files of this process; another sweep may have begun some in the meantime."""
    mine = f".{socket.gethostname()}.{os.getpid()}."
    return {name for name in _names(folder) if mine in name} - before


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(folders.EVENTS)]


def _is_dead(name: str) -> bool:
    """Whether the process that wrote a file was one of this machine and has ended.

    A name ends with the host, the process and a number.
    """
    host, _, rest = (
        name.removeprefix(folders.EVENTS[:-1]).partition(".")[2].rpartition(".")[0].rpartition(".")
    )
    if host != socket.gethostname() or not rest.isdecimal() or os.name != "posix":
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(rest) == os.getpid()  # An earlier attempt in this process.


def _remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            (folder / name).unlink()
