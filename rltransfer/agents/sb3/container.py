"""The zip that Stable-Baselines3 writes: its members, and the entries of its JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rltransfer.agents import files
from rltransfer.agents.inert import (
    Budget,
    Global,
    Limits,
    Record,
    examine,
    globals_in_tensors,
    read_archive,
    read_json,
)
from rltransfer.agents.inert import read_tensors as parse_tensors
from rltransfer.errors import BadCheckpoint

#: Largest zip that is read, in bytes. A pixel agent with Adam's moments has 20 MB.
MAX_BYTES = 2**27
DATA, WEIGHTS, OPTIMIZER = "data", "policy.pth", "policy.optimizer.pth"
_VERSION, _SYSTEM = "_stable_baselines3_version", "system_info.txt"
#: "tensors.pth" is what the other variables were called before 0.9.
_KNOWN = {DATA, WEIGHTS, OPTIMIZER, _VERSION, _SYSTEM, "pytorch_variables.pth", "tensors.pth"}
_NUMBER = re.compile(r"\d+\.\d+[\w.+-]{0,30}")
#: As they are called in system_info.txt, and by pip.
_PACKAGES = {
    "Python": "python",
    "PyTorch": "torch",
    "Numpy": "numpy",
    "Gym": "gym",
    "OpenAI Gym": "gym",
    "Gymnasium": "gymnasium",
}
_FACT = re.compile(r"(?:- )?(\w[\w -]{0,30}): (\w[\w.+-]{0,40})")
_PICKLE = ":serialized:"
#: What SB3 puts beside a pickle and is no attribute of the object.
_TWIN_KEYS = (_PICKLE, ":type:")


class Container:
    """A zip that was read and not yet understood.

    Attributes:
        path: The file.
        sha256: Its SHA-256, hexadecimal.
        budget: What reading it may still cost.
        data: The JSON object in it; pickled entries are under ``":serialized:"``.
        version: Version of Stable-Baselines3 that wrote it, such as ``"1.3.1a2"``.
    """

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            BadCheckpoint: It is no zip of Stable-Baselines3 1.0 to 2.x.
        """
        content = files.read(path, MAX_BYTES)
        self.path, self.budget = path, Budget()
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._members = _archive(content, self.budget)
        self._names: dict[str, list[Global]] = {}
        if DATA not in self._members:
            held = ", ".join(sorted(self._members)[:5]) or "nothing"
            raise BadCheckpoint(
                f"not an agent of Stable-Baselines3: the zip holds {held}, expected '{DATA}' and "
                f"'{WEIGHTS}'"
            )
        self.data: dict[str, Any] = self._json()
        self.version = self._version()

    @property
    def others(self) -> list[str]:
        """Names of the members that no PPO agent has."""
        return sorted(self._members.keys() - _KNOWN)

    def tensors(self, member: str) -> Any:
        """Read the tensors of a member, or return None where it is missing.

        Raises:
            BadCheckpoint: They are malformed.
        """
        if member not in self._members:
            return None
        try:
            return parse_tensors(self._members[member], self.budget)
        except BadCheckpoint as error:
            raise BadCheckpoint(f"{member}: {error}") from error

    def is_pickled(self, key: str) -> bool:
        """Tell whether an entry is a pickle."""
        entry = self.data.get(key)
        return isinstance(entry, dict) and _PICKLE in entry

    def record(self, key: str) -> Record:
        """Parse the pickle of an entry.

        Raises:
            BadCheckpoint: It is malformed.
        """
        try:
            record, self._names[key] = examine(self._pickle(key), self.budget)
        except BadCheckpoint as error:
            raise BadCheckpoint(f"{key}: {error}") from error
        return record

    def twin(self, key: str) -> dict[str, Any]:
        """Return what the zip says about a pickled object in plain text, by attribute."""
        entry = self.data.get(key)
        if not isinstance(entry, dict):
            return {}
        return {name: value for name, value in entry.items() if name not in _TWIN_KEYS}

    def names(self) -> Iterator[tuple[str, list[Global] | None]]:
        """Yield the classes and functions that each pickle names, needed or not.

        Yields:
            The entry and the names, or None for a pickle that is malformed or too large.
        """
        # Apart, so that what is not needed takes nothing from what is; and more, as the buffer of
        # recent episodes can be long.
        spare = Budget(Limits(opcodes=120_000))
        for key in self.data:
            if key in self._names:
                yield key, self._names[key]
            elif self.is_pickled(key):
                try:
                    yield key, examine(self._pickle(key), spare)[1]
                except BadCheckpoint:
                    yield key, None

    def unread(self) -> Iterator[tuple[str, list[Global] | None]]:
        """Yield the names in each ``.pth`` member that is not read, as :meth:`names` does."""
        spare = Budget()
        for member, content in self._members.items():
            if member.endswith(".pth") and member not in (WEIGHTS, OPTIMIZER):
                try:
                    yield member, globals_in_tensors(content, spare)
                except BadCheckpoint:
                    yield member, None

    def packages(self) -> dict[str, str]:
        """Return the versions of what the agent was trained with, by package."""
        text = self._members.get(_SYSTEM, b"")[:4096].decode("ascii", "replace")
        found = {"stable-baselines3": self.version}
        for match in map(_FACT.match, text.splitlines()):
            if match and match[1] in _PACKAGES:
                found[_PACKAGES[match[1]]] = match[2]
        return found

    def _json(self) -> dict[str, Any]:
        try:
            data = read_json(self._members[DATA], self.budget)
        except BadCheckpoint as error:
            raise BadCheckpoint(f"{DATA}: {error}") from error
        if not isinstance(data, dict):
            raise BadCheckpoint(f"{DATA}: expected a JSON object")
        return data

    def _version(self) -> str:
        text = self._members.get(_VERSION, b"")[:100].decode("ascii", "replace").strip()
        if not _NUMBER.fullmatch(text):
            raise BadCheckpoint(
                f"the zip does not say which Stable-Baselines3 wrote it: {text!r:.40}"
            )
        if text.split(".")[0] not in ("1", "2"):
            raise BadCheckpoint(
                f"written by Stable-Baselines3 {text}, expected 1.0 to 2.9: load it there, and "
                "save it again with one of these"
            )
        return text

    def _pickle(self, key: str) -> bytes:
        text = self.data[key][_PICKLE]
        try:
            return base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise BadCheckpoint(f"{key}: a pickle is not in base64") from error


def _archive(content: bytes, budget: Budget) -> dict[str, bytes]:
    try:
        return read_archive(content, budget)
    except BadCheckpoint as error:
        raise BadCheckpoint(
            f"{error}; if it was copied or downloaded, do so again: it may not be whole"
        ) from error
