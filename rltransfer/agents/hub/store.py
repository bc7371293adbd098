"""Files of the Hub, verified, through the cache of ``huggingface_hub``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rltransfer.agents.files import writing
from rltransfer.agents.hub.client import Client, huggingface_hub
from rltransfer.agents.hub.listing import RemoteFile
from rltransfer.errors import BadCheckpoint

_PART = 2**20
_CURE = "free some space, or let HF_HUB_CACHE name a folder that is yours"


@dataclass(frozen=True)
class Store:
    """The files of one repository at one commit.

    Files that ``huggingface_hub`` has downloaded already, ``hf download`` for instance, are found,
    and those that are downloaded here are found by it.

    Attributes:
        client: The Hub.
        repository: ``"owner/repo"``.
        revision: The commit.
        authority: Who says what the files must be, for errors.
        cache: Folder of the cache; by default that of ``huggingface_hub``.
    """

    client: Client
    repository: str
    revision: str
    authority: str
    cache: Path | None = None

    def copy(self, name: str, expected: RemoteFile, target: Path) -> RemoteFile:
        """Put a copy of a file where nobody else writes, and check what was copied.

        Args:
            name: The file's path in the repository, a safe one.
            expected: What it must be.
            target: Where to put the copy.

        Returns:
            Size and sha256 of the copy.

        Raises:
            BadCheckpoint: It is not what it must be.
            NotReachable: It is not in the cache, and cannot be downloaded.
            NotWritable: The cache or the copy cannot be written.
        """
        cached = self._path(name)
        content = _copy(cached, target, expected)
        if content is None or not content.is_(expected):
            target.unlink(missing_ok=True)
            self._download(name, expected, cached)
            content = _copy(cached, target, expected)
        if content is None or not content.is_(expected):
            raise BadCheckpoint(f"{cached} was changed while it was read: try again")
        return content.facts()

    def _path(self, name: str) -> Path:
        """Where the cache keeps a file, in the layout that its documentation describes."""
        cache = self.cache or Path(huggingface_hub().constants.HF_HUB_CACHE)
        folder = f"models--{self.repository.replace('/', '--')}"
        return cache.expanduser() / folder / "snapshots" / self.revision / name

    def _download(self, name: str, expected: RemoteFile, cached: Path) -> None:
        """Download to a temporary file; only what is right gets its name in the cache."""
        temporary = cached.with_name(f".{secrets.token_hex(8)}.tmp")
        content = _Content(expected.size)
        try:
            with _create(temporary) as file:
                self.client.download(
                    *(self.repository, self.revision, name, expected.size),
                    lambda part: content.write(part, file, cached),
                )
            if not content.is_(expected):
                raise BadCheckpoint(
                    f"{self._label(name)} has sha256 {content.facts().sha256}, which is not what "
                    f"{self.authority} says: do not use it"
                )
            with writing(cached, _CURE):
                os.replace(temporary, cached)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _label(self, name: str) -> str:
        return f"{self.repository}@{self.revision[:12]}:{name}"


class _Content:
    """Size and digests of what was written so far."""

    def __init__(self, size: int) -> None:
        self._size = 0
        self._sha256 = hashlib.sha256()
        # The name that git gives to a file of this size: no secret, but all that the Hub tells of
        # small files. The sha256 goes to the lock file.
        self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def write(self, part: bytes, file: BinaryIO, path: Path) -> None:
        """Append to a file, and take note."""
        with writing(path, _CURE):
            file.write(part)
            file.flush()  # so that nothing is left to fail when the file is closed
        self._size += len(part)
        self._sha256.update(part)
        self._git.update(part)

    def is_(self, expected: RemoteFile) -> bool:
        """Tell whether this is what was expected, by the strongest digest that is known."""
        known = expected.sha256 or expected.git
        own = self._sha256 if expected.sha256 else self._git
        return self._size == expected.size and own.hexdigest() == known

    def facts(self) -> RemoteFile:
        return RemoteFile(self._size, sha256=self._sha256.hexdigest())


def _create(path: Path) -> BinaryIO:
    with writing(path, _CURE):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def _copy(source: Path, target: Path, expected: RemoteFile) -> _Content | None:
    """Copy a file, at most one byte more than is expected; None if it cannot be read."""
    content, left = _Content(expected.size), expected.size + 1
    try:
        with source.open("rb") as reader, _create(target) as writer:
            while left and (part := reader.read(min(_PART, left))):
                content.write(part, writer, target)
                left -= len(part)
    except OSError:
        return None
    return content
