"""Folders of runs: checked before anything is trained, and never left with half a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rltransfer.errors import BadArgument, NotWritable

RESULT = "result.json"
EVENTS = "events.out.tfevents.*"
# Another run's failure takes a moment, and a folder that cannot be created is to be named soon.
_TRIES = 100
# What a run writes before its result is there: TensorBoard's events, and a result being written.
_TRACES = (EVENTS, f".{RESULT}.*.tmp")


def event_folder(label: str, seed: int, recipe: str, source: str = "") -> str:
    """Folder of a run's events: runs of one seed lie side by side, so TensorBoard overlays them.

    Raises:
        BadArgument: A name cannot be that of a folder.
    """
    for what, name in (("comparison", label), ("recipe", recipe), ("source", source or "-")):
        if name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
            raise BadArgument(
                f"the {what} is called {name!r}, and its results go to a folder of that name: "
                "choose a name without / \\ and :"
            )
    at = f"@{source}" if source else ""
    return f"events/{label}/seed{seed}/{recipe}{at}"


def check_writable(out: Path) -> None:
    """See that a folder can be written, or created, and leave everything as it was.

    Raises:
        NotWritable: It cannot.
    """
    created = missing(out)
    try:
        create(out)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise not_writable(out, error) from error
    finally:
        remove_empty(created)


def create(folder: Path) -> None:
    """Create a folder and those around it, while runs that failed may take empty ones away.

    Raises:
        NotWritable: It cannot be created.
    """
    for left in reversed(range(_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except OSError as error:
            # A folder that is found there may be taken away before it is seen to be a folder.
            if not left or not isinstance(error, FileNotFoundError | FileExistsError):
                raise not_writable(folder, error) from error
        _move_in(folder)


def _move_in(folder: Path) -> None:
    """Put a folder and those around it in place in one move, so that none is seen empty.

    Creating them one after the other loses a folder that is taken away before the next lies in it,
    and can lose every time. Where this fails, so does creating them, which says why.
    """
    outermost = missing(folder)[-1:]
    with suppress(OSError):
        for top in outermost:
            with tempfile.TemporaryDirectory(dir=top.parent, prefix=".folder-") as aside:
                (aside / folder.relative_to(top.parent)).mkdir(parents=True)
                (aside / Path(top.name)).replace(top)


def not_writable(folder: Path, error: OSError) -> NotWritable:
    """Build the error of a folder that cannot be written."""
    return NotWritable(
        f"{folder} cannot be written ({error.strerror or error}): choose another folder with --out"
    )


def missing(folder: Path) -> list[Path]:
    """Folders that do not exist yet, of a folder and those around it, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


@contextmanager
def attempt(folder: Path | None, resumable: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Let one run write into its folder; if it fails, nothing of it stays.

    What an attempt that was killed has left is removed first: two files of events in one folder
    would be drawn as one curve. The events of a finished run stay until this one has finished too.
    Where a run can go on from a checkpoint, its events stay in any case.

    Args:
        folder: Its folder; None for a run that writes nothing.
        resumable: Tells whether there is a checkpoint from which the run can go on.
    """
    if folder is None:
        yield
        return
    created = missing(folder)
    going_on = resumable()
    if not (folder / RESULT).exists() and not going_on:
        _discard(folder)
    before = set() if going_on else _traces(folder)
    try:
        yield
    except BaseException:
        if not resumable():
            _remove(_traces(folder) - before)
            remove_empty(created)
        raise
    _remove(before)


def _discard(folder: Path) -> None:
    """Remove what an unfinished run has left."""
    traces = _traces(folder)
    _remove(traces)
    if traces:
        remove_empty([folder])


def _traces(folder: Path) -> set[Path]:
    return {path for pattern in _TRACES for path in folder.glob(pattern)}


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink()


def remove_empty(created: Iterable[Path]) -> None:
    """Remove those of some folders that are empty, innermost first."""
    for path in created:
        with suppress(OSError):
            path.rmdir()
