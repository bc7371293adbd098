"""Checkpoints of a run under way: one file each, whole or not there, read as data.

A checkpoint is ``part-<n>.safetensors``: all tensors, and under ``__metadata__`` the id of the run,
the rest of its state as JSON, and a sha256 over every other byte of the file. So each changed,
missing or added byte is noticed, which safetensors alone does not.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from rltransfer.agents import bundle, files
from rltransfer.agents.jsondata import parse, take
from rltransfer.errors import BadArgument, BadCheckpoint
from rltransfer.experiments import folders

FORMAT = "rltransfer-checkpoint"
VERSION = "1"
KEPT = 2
"""The newest, and the one before it, should the newest be damaged."""

_NAME = re.compile(r"part-(\d{1,12})\.safetensors")
# As safetensors writes it; within the state, quotation marks stand behind a backslash.
_MARK = b'"sha256":"'
_BLANK = b"0" * 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A run between an update and the next rollout.

    Attributes:
        run: Id of the run; see ``RunSpec.id``.
        part: Number of the part of training that begins here.
        tensors: Tensors by name.
        state: Everything else, as JSON data.
    """

    run: str
    part: int
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run in a folder of their own.

    Two processes that execute the same run write the same files, each whole.

    Args:
        folder: The folder; it is created with the first checkpoint.
        run: Id of the run.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self._run = run

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, and remove all but the last :data:`KEPT`.

        Raises:
            NotWritable: It cannot be written; those that were there are unharmed.
        """
        folders.create(self.folder)
        path = self.folder / f"part-{checkpoint.part}.safetensors"
        files.atomic_write(path, seal(checkpoint))
        for _, old in self._found()[KEPT:]:
            with suppress(OSError):
                old.unlink()

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is sound, if there is one.

        A damaged one is reported by a warning, and the one before it is used. Temporary files that
        a killed process left long ago are removed.

        Raises:
            BadArgument: The checkpoints are those of another run.
        """
        self._sweep()
        for _, path in self._found():
            try:
                found = unseal(files.read(path, bundle.MAX_TENSORS))
            except BadCheckpoint as error:
                why = str(error).removeprefix(f"{path}: ")
                warnings.warn(f"{path} is not used: {why}", RuntimeWarning, stacklevel=2)
                continue
            if found.run != self._run:
                raise BadArgument(
                    f"{self.folder} holds checkpoints of a run with other settings: choose another "
                    "folder with --out, or remove this one"
                )
            return found
        return None

    def exist(self) -> bool:
        """Tell whether there is any checkpoint, sound or not."""
        return bool(self._found())

    def remove(self) -> None:
        """Remove all checkpoints, what killed processes left of others, and the empty folder."""
        for path in [path for _, path in self._found()] + list(self._temporary()):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _found(self) -> list[tuple[int, Path]]:
        """Checkpoints by part, newest first."""
        named = ((_NAME.fullmatch(path.name), path) for path in self._all())
        return sorted(((int(name[1]), path) for name, path in named if name), reverse=True)

    def _temporary(self) -> Iterator[Path]:
        return (p for p in self._all() if p.name.startswith(".part-") and p.suffix == ".tmp")

    def _all(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _sweep(self) -> None:
        oldest = time.time() - files.STALE_SECONDS
        for path in self._temporary():
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def seal(checkpoint: Checkpoint) -> bytes:
    """Turn a checkpoint into the bytes of its file."""
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "run": checkpoint.run,
        "part": str(checkpoint.part),
        "state": json.dumps(checkpoint.state, allow_nan=False),
        "sha256": _BLANK.decode(),
    }
    content = safetensors.torch.save(dict(checkpoint.tensors), metadata)
    place = content.index(_MARK) + len(_MARK)
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:place] + digest + content[place + len(digest) :]


def unseal(content: bytes) -> Checkpoint:
    """Read what :func:`seal` made, whole and unchanged.

    Raises:
        BadCheckpoint: A byte differs, is missing or too many; or it is something else, or of
            another version.
    """
    header = _checked_header(content)
    metadata = take(header, "__metadata__", dict)
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
        raise BadCheckpoint("not a checkpoint of this version of rltransfer")
    part = take(metadata, "part", str)
    if not part.isdecimal():
        raise BadCheckpoint(f"part is {part!r:.60}: expected a whole number")
    return Checkpoint(
        run=take(metadata, "run", str),
        part=int(part),
        tensors=bundle.unpack(content),
        state=parse(take(metadata, "state", str).encode()),
    )


def _checked_header(content: bytes) -> dict[str, Any]:
    """Compare the sha256, and only then read the header."""
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0
    place = content.find(_MARK, 8, 8 + length) + len(_MARK)
    if place < len(_MARK):
        raise BadCheckpoint("damaged, or not a checkpoint")
    end = place + len(_BLANK)
    digest = hashlib.sha256(content[:place])
    digest.update(_BLANK)
    digest.update(memoryview(content)[end:])
    if digest.hexdigest().encode() != content[place:end]:
        raise BadCheckpoint("damaged: its sha256 does not fit")
    return parse(content[8 : 8 + length])
