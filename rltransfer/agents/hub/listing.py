"""What a Hugging Face Hub says about the files of a repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rltransfer.agents.jsondata import parse, take
from rltransfer.errors import BadCheckpoint

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub says about a file.

    Attributes:
        size: Bytes.
        sha256: Sha256 of the content, for a file in large file storage (LFS); else empty.
        git: Sha1 of the content as a git object, for any other file; else empty.
    """

    size: int
    sha256: str = ""
    git: str = ""


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit."""

    revision: str
    files: Mapping[str, Any]

    def file(self, name: str) -> RemoteFile:
        """Return what the Hub says about a file.

        Raises:
            BadCheckpoint: It leaves out the size or the digest.
        """
        data = self.files[name]
        lfs = data.get("lfs")
        if isinstance(lfs, dict):
            return RemoteFile(_size(lfs, name), sha256=_digest(lfs, "sha256", SHA256, name))
        return RemoteFile(_size(data, name), git=_digest(data, "blobId", COMMIT, name))


def read(content: bytes) -> Listing:
    """Read what ``/api/models/OWNER/REPO?blobs=true`` gives; only what is needed is looked at.

    Raises:
        BadCheckpoint: It is something else.
    """
    data = parse(content)
    revision = take(data, "sha", str)
    if not COMMIT.fullmatch(revision):
        raise BadCheckpoint(f"field 'sha' is {revision!r:.60}: expected a commit")
    files = {}
    for entry in take(data, "siblings", list):
        if not isinstance(entry, dict):
            raise BadCheckpoint("field 'siblings' holds something else than files")
        files[take(entry, "rfilename", str)] = entry
    return Listing(revision, files)


def _size(data: Mapping[str, Any], name: str) -> int:
    size = data.get("size")
    if type(size) is not int or size < 0:
        raise BadCheckpoint(f"the Hub does not say how large {name!r:.120} is")
    return size


def _digest(data: Mapping[str, Any], field: str, shape: re.Pattern[str], name: str) -> str:
    digest = data.get(field)
    if not isinstance(digest, str) or not shape.fullmatch(digest):
        raise BadCheckpoint(f"the Hub gives no digest of {name!r:.120}")
    return digest
