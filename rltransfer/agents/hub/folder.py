"""A folder that is ready to be uploaded to the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rltransfer.agents import files
from rltransfer.agents.agent import Agent
from rltransfer.agents.hub.model_card import Upload, render
from rltransfer.agents.hub.reference import PREFIX, Reference
from rltransfer.errors import BadArgument, NotWritable

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
_CURE = "choose a new folder in one that exists and is yours to write"


def write_folder(
    agent: Agent,
    folder: str | Path,
    *,
    repository: str = "",
    licence: str = "",
    classes: Mapping[str, type] | None = None,
) -> Path:
    """Write an agent with a model card: a repository of the Hub, but for the upload.

    The folder gets ``README.md``, ``NAME.safetensors`` and ``NAME.json`` for rltransfer,
    ``NAME.zip`` for Stable-Baselines3 and, if the agent was trained on normalized observations or
    rewards, ``NAME.vecnormalize.pkl``. A crash leaves the whole folder or nothing.

    Args:
        agent: The agent; its card's name is that of the files.
        folder: A folder that is not there yet, or is empty; its parent must exist.
        repository: ``"owner/repo"`` that it is meant for, for the code in the card.
        licence: Identifier of the licence on the Hub, such as ``"mit"``; by default none is named.
        classes: Classes of the user that the policy needs, as for :meth:`Agent.arguments`.

    Returns:
        The folder.

    Raises:
        BadArgument: The repository or the licence is malformed, or a class is needed and was not
            given.
        NotWritable: The folder holds something, or cannot be written.
    """
    if repository:
        repository = Reference.parse(PREFIX + repository).repository
    if licence and not _LICENCE.fullmatch(licence):
        raise BadArgument(f"{licence!r:.60} is no licence: expected one of the Hub, such as 'mit'")
    name, target = _file_name(agent.card.name), Path(folder).expanduser()
    with _whole_folder(target) as temporary:
        agent.save(temporary / name)
        agent.to_sb3(temporary / name, classes=classes)
        digests = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        card = render(agent, Upload(name, repository, licence, digests))
        files.atomic_write(temporary / "README.md", card.encode("utf-8"))
    return target


def _file_name(name: str) -> str:
    """A name for files that is one on every system, and in every address."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:80]
    return plain or "agent"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside the target, and rename it to the target at the end."""
    with files.writing(target, _CURE):
        target = target.resolve()
        _check_free(target)
        _sweep(target)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        temporary.mkdir()
    try:
        yield temporary
        with files.writing(target, _CURE):
            if target.exists():
                target.rmdir()  # fails if something was put there meanwhile
            os.rename(temporary, target)
            files.flush_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_free(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise NotWritable(f"{target} is a file: give the path of a new folder")
    if target.is_dir() and any(target.iterdir()):
        raise NotWritable(f"{target} is not empty: give a new or an empty folder, or empty it")


def _sweep(target: Path) -> None:
    """Remove what killed processes left of earlier attempts to write this folder."""
    oldest = time.time() - files.STALE_SECONDS
    for path in target.parent.glob(f".{target.name}.*.tmp"):
        if path.is_dir() and path.lstat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)
