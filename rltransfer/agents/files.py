"""Files that are whole or not there: nothing is ever written in place."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rltransfer.errors import BadArgument, BadCheckpoint, NotWritable

# No write takes this long; a temporary file that is older was left by a process that was killed.
STALE_SECONDS = 3600.0


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file so that every reader, at any moment, sees the old content or the new.

    The content goes to a temporary file beside it, which is flushed to the disk and renamed; the
    folder is flushed too. This holds for a kill at any moment and for a full disk, and for a power
    cut as far as the disk keeps its promises.

    Raises:
        NotWritable: The folder does not exist, is not writable, the disk is full, ... The old file
            is unharmed, and no temporary file stays.
    """
    temporary = stage(path, content)
    try:
        publish(temporary, path)
    except BaseException:
        discard(temporary)
        raise


def csv_of(rows: Iterable[Iterable[Any]]) -> bytes:
    """Write rows as CSV; cells with commas or quotes are quoted.

    Args:
        rows: Cells, the header first.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def stage(path: str | Path, content: bytes) -> Path:
    """Write ``content`` to a temporary file beside ``path``, flushed to the disk.

    Returns:
        The temporary file, for :func:`publish` or :func:`discard`.

    Raises:
        NotWritable: As for :func:`atomic_write`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with writing(path):
        _sweep(path)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            discard(temporary)
            raise
    return temporary


def publish(temporary: Path, path: str | Path) -> None:
    """Rename a staged file to ``path``, replacing what is there.

    Raises:
        NotWritable: As for :func:`atomic_write`; the staged file stays.
    """
    path = Path(path)
    with writing(path):
        os.replace(temporary, path)
        flush_folder(path.parent)


def discard(temporary: Path) -> None:
    """Remove a staged file, if it can be removed."""
    with contextlib.suppress(OSError):
        temporary.unlink()


def usable(path: str | Path) -> Path:
    """Return a path that can be looked at, with ``~`` expanded.

    Raises:
        BadArgument: It is no text or path, holds a zero byte, is too long, or is in the home of
            nobody.
    """
    if not isinstance(path, str | Path):
        raise BadArgument(f"{path!r:.60}: expected the path of a file, as text or as a Path")
    try:
        found = Path(path).expanduser()
        found.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadArgument(f"{str(path)!r:.80} is no path to a file: {error!s:.80}") from error
    return found


def read(path: Path, limit: int) -> bytes:
    """Read a whole file.

    Args:
        path: The file.
        limit: Largest size in bytes that is read.

    Raises:
        BadCheckpoint: It cannot be read, is not a regular file, or is larger than ``limit``.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadCheckpoint(f"{path}: expected a regular file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadCheckpoint(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise BadCheckpoint(f"{path}: larger than {limit} bytes, the limit for such a file")
    return content


@contextlib.contextmanager
def writing(path: Path, cure: str | None = None) -> Iterator[None]:
    """Turn what goes wrong while something is written into an error of ours.

    Args:
        path: What is being written.
        cure: What to do about it; by default to free space or to choose another folder.

    Raises:
        NotWritable: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if cure is None:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            other = "choose a folder that exists and is yours to write"
            cure = "free some space" if full else other
        raise NotWritable(f"{path}: cannot be written: {error.strerror}; {cure}") from error


def flush_folder(folder: Path) -> None:
    """Make the disk keep what was renamed in a folder."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove what killed processes left of earlier attempts to write ``path``."""
    prefix, oldest = f".{path.name}.", time.time() - STALE_SECONDS
    for entry in os.scandir(path.parent):
        if entry.name.startswith(prefix) and entry.name.endswith(".tmp"):
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry)
