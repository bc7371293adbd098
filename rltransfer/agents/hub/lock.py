"""The lock file: which commit of each agent is used, and the sha256 of each of its files.

It is meant to be read, and to be kept under version control::

    {
     "format": "rltransfer-lock",
     "version": 1,
     "agents": {
      "hub:sb3/ppo-CartPole-v1": {
       "revision": "9f8c4a...",
       "asked": "",
       "files": {
        "ppo-CartPole-v1.zip": {"bytes": 137166, "sha256": "5d31..."}
       }
      }
     }
    }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltransfer.agents import files
from rltransfer.agents.hub.listing import COMMIT, SHA256, RemoteFile
from rltransfer.agents.hub.reference import Reference
from rltransfer.agents.jsondata import only, parse, render, take
from rltransfer.errors import BadArgument, BadCheckpoint

NAME = "rltransfer.lock.json"
FORMAT = "rltransfer-lock"
VERSION = 1
_MAX_BYTES = 2**24


@dataclass(frozen=True)
class Pin:
    """What a lock file says about one agent.

    Attributes:
        revision: The commit.
        asked: The branch or tag that the user asked for and that was this commit; or empty.
        files: Size and sha256 of each file, by its path in the repository.
    """

    revision: str
    asked: str
    files: Mapping[str, RemoteFile]

    def is_asked_by(self, revision: str) -> bool:
        """Tell whether this is the revision that a user asks for, as far as is known offline."""
        short = len(revision) >= 7 and self.revision.startswith(revision)
        return short or revision in ("", self.asked)


def read(path: Path) -> dict[str, Pin]:
    """Read a lock file; one that is not there pins nothing.

    Raises:
        BadCheckpoint: It is malformed.
    """
    if not path.exists():
        return {}
    try:
        data = parse(files.read(path, _MAX_BYTES))
        only(data, ("format", "version", "agents"), "the lock file")
        if data.get("format") != FORMAT or data.get("version") != VERSION:
            raise BadCheckpoint(f"expected format {FORMAT!r}, version {VERSION}")
        agents = take(data, "agents", dict)
        return {Reference.parse(key).key: _pin(take(agents, key, dict)) for key in agents}
    except (BadArgument, BadCheckpoint) as error:
        raise BadCheckpoint(f"{path}: {error}: repair the lock file, or delete it") from error


def write(path: Path, key: str, pin: Pin) -> None:
    """Add an agent to a lock file, or replace it; the other entries stay.

    Raises:
        BadCheckpoint: The lock file that is there is malformed.
        NotWritable: It cannot be written.
    """
    pins = {**read(path), key: pin}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "agents": {key: _entry(pins[key]) for key in sorted(pins)},
    }
    files.atomic_write(path, render(document))


def _entry(pin: Pin) -> dict[str, Any]:
    return {
        "revision": pin.revision,
        "asked": pin.asked,
        "files": {
            name: {"bytes": file.size, "sha256": file.sha256} for name, file in pin.files.items()
        },
    }


def _pin(data: Mapping[str, Any]) -> Pin:
    only(data, ("revision", "asked", "files"), "an agent")
    entries = take(data, "files", dict)
    return Pin(
        revision=_matching(data, "revision", COMMIT),
        asked=take(data, "asked", str),
        files={name: _file(take(entries, name, dict)) for name in entries},
    )


def _file(data: Mapping[str, Any]) -> RemoteFile:
    only(data, ("bytes", "sha256"), "a file")
    size = take(data, "bytes", int)
    if size < 0:
        raise BadCheckpoint(f"a file has {size} bytes")
    return RemoteFile(size, sha256=_matching(data, "sha256", SHA256))


def _matching(data: Mapping[str, Any], key: str, shape: Any) -> str:
    text = take(data, key, str)
    if not shape.fullmatch(text):
        raise BadCheckpoint(f"field {key!r} is {text!r:.60}")
    return text
