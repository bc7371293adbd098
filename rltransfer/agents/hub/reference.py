"""What a user types to name an agent on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rltransfer.errors import BadArgument

PREFIX = "hub:"
SHAPE = "hub:owner/repo[@revision][:filename]"
_WHOLE = re.compile(r"hub:(?P<repository>[^@:]+)(?:@(?P<revision>[^@:]+))?(?::(?P<filename>.+))?")
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
# No separator of any system, no drive, nothing hidden, no control character.
_FILE_PART = re.compile(r"[A-Za-z0-9_(\[][A-Za-z0-9 _.,+=@~()\[\]-]{0,199}")


@dataclass(frozen=True)
class Reference:
    """An agent on the Hub.

    Attributes:
        repository: ``"owner/repo"``.
        revision: Branch, tag or commit; empty for the one that the lock file names, or else the
            newest.
        filename: File in the repository; empty where it holds only one agent.
    """

    repository: str
    revision: str = ""
    filename: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``"hub:owner/repo[@revision][:filename]"``.

        Raises:
            BadArgument: It is something else.
        """
        match = _WHOLE.fullmatch(text)
        if match is None:
            raise BadArgument(f"{text!r:.120}: expected {SHAPE}, such as hub:sb3/ppo-CartPole-v1")
        found = cls(**{name: part or "" for name, part in match.groupdict().items()})
        if not _is_repository(found.repository):
            raise BadArgument(f"{found.repository!r:.120} is no repository: expected {SHAPE}")
        if found.revision and not _is_revision(found.revision):
            raise BadArgument(f"{found.revision!r:.120} is no branch, tag or commit: see {SHAPE}")
        if found.filename and not is_safe(found.filename):
            raise BadArgument(f"{found.filename!r:.120} is no file of a repository: see {SHAPE}")
        return found

    @property
    def key(self) -> str:
        """The reference without its revision: what a lock file pins."""
        return f"{PREFIX}{self.repository}" + (f":{self.filename}" if self.filename else "")

    def at(self, revision: str) -> str:
        """The reference with a revision, as text."""
        file = f":{self.filename}" if self.filename else ""
        return f"{PREFIX}{self.repository}@{revision}{file}"

    def __str__(self) -> str:
        return self.at(self.revision) if self.revision else self.key


def is_safe(name: str) -> bool:
    """Tell whether a file name that a server gave stays below the folder that it is put into."""
    parts = name.split("/")
    return len(parts) <= 8 and all(
        _FILE_PART.fullmatch(part) and ".." not in part and part[-1] not in " ." for part in parts
    )


def _is_repository(text: str) -> bool:
    # The Hub's own rules; "--" stands for the slash in the names of its cache's folders.
    sound = _REPOSITORY.fullmatch(text) and len(text) <= 96
    return bool(sound) and "--" not in text and ".." not in text and not text.endswith(".git")


def _is_revision(text: str) -> bool:
    return bool(_REVISION.fullmatch(text)) and ".." not in text and "//" not in text
