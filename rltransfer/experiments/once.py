"""Files that are written once, by whoever comes first, with no lock and on shared disks too."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rltransfer.agents import files
from rltransfer.experiments import kill_points

# What file systems without hard links answer: exFAT, some FUSE and object stores.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write_once(path: Path, content: bytes) -> bool:
    """Write a file unless it is there already; readers see all of it or nothing.

    The content is flushed to the disk under another name and then linked to its own, which fails
    if that exists. On a file system without links it is renamed if nothing is there: of two writers
    at the same moment the later one then stays, and its file is as whole as the other.

    Returns:
        Whether this call wrote it.

    Raises:
        NotWritable: It cannot be written.
    """
    temporary = files.stage(path, content)
    try:
        kill_points.point("store.staged")
        with files.writing(path):
            first = _link(temporary, path)
            files.flush_folder(path.parent)
        kill_points.point("store.linked")
    finally:
        files.discard(temporary)
    kill_points.point("store.unlinked")
    return first


def _link(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # The answer to a link that was made can get lost on NFS, and the second try finds it.
        return temporary.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename(temporary, path)
    return True


def _rename(temporary: Path, path: Path) -> bool:
    if path.exists():
        return False
    os.replace(temporary, path)
    return True
