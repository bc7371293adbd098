"""Agents of the Hugging Face Hub: pinned to a commit, verified, and never executed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rltransfer.agents.agent import Agent
from rltransfer.agents.hub import lock as locks
from rltransfer.agents.hub.choosing import Choice, check_size, choose
from rltransfer.agents.hub.client import Client
from rltransfer.agents.hub.folder import write_folder
from rltransfer.agents.hub.listing import RemoteFile
from rltransfer.agents.hub.lock import Pin
from rltransfer.agents.hub.reference import PREFIX, Reference
from rltransfer.agents.hub.store import Store
from rltransfer.errors import BadArgument, BadCheckpoint, TransferError

__all__ = ["PREFIX", "load", "write_folder"]


def load(
    reference: str,
    *,
    classes: Mapping[str, type] | None = None,
    task: str | None = None,
    lock: str | Path | None = None,
    update: bool = False,
    endpoint: str | None = None,
    cache: str | Path | None = None,
    **read_options: Any,
) -> Agent:
    """Load an agent of the Hub; nothing in its files is executed.

    The first time, the revision is resolved to a commit, which goes to the lock file with the
    sha256 of each file. From then on that commit is used, without asking which is the newest, and
    a file that differs is refused. With the files in the cache of ``huggingface_hub``, no network
    is needed.

    Args:
        reference: ``"hub:owner/repo[@revision][:filename]"``. The file may be left out where the
            repository holds one agent: a ``.safetensors`` and ``.json`` of rltransfer, or else a
            ``.zip`` of Stable-Baselines3.
        classes: Classes of the user that the policy needs, by ``"module:QualName"`` or by name.
        task: Gymnasium id that a zip was trained on, where its name does not tell.
        lock: Path of the lock file; by default ``rltransfer.lock.json`` in the current folder.
        update: Whether to take the revision anew, and replace the entry of the lock file.
        endpoint: Address of the Hub; by default that of ``HF_ENDPOINT``.
        cache: Folder of the cache; by default that of ``huggingface_hub``.
        **read_options: For a zip, as for :func:`rltransfer.read_sb3`.

    Raises:
        BadArgument: The reference is malformed, or asks for another revision than the lock file.
        BadCheckpoint: The repository holds no agent or several, a file is too large, corrupt, or
            not what the Hub or the lock file says.
        MissingExtra: ``huggingface_hub`` is not installed.
        NotReachable: The Hub cannot be reached, or denies access.
        NotWritable: The cache or the lock file cannot be written.
        UnknownName: There is no such repository, revision or file.
    """
    wanted = Reference.parse(reference)
    lock_path = Path(lock or locks.NAME).expanduser()
    pin = None if update else locks.read(lock_path).get(wanted.key)
    client = Client(endpoint)
    if pin is None:
        found, authority = _resolve(client, wanted), "the Hub's own list of files"
    else:
        _check_revision(client, wanted, pin, lock_path)
        found, authority = pin, str(lock_path)
    choice = _choice(found, wanted)
    store = Store(
        client, wanted.repository, found.revision, authority, None if cache is None else Path(cache)
    )
    options = {"classes": classes, "task": task, **read_options}
    agent, files = _fetch(store, choice, found.files, wanted, options)
    if pin is None:
        locks.write(lock_path, wanted.key, Pin(found.revision, wanted.revision, files))
    return agent


def _resolve(client: Client, wanted: Reference) -> Pin:
    """Ask the Hub for the commit, and for what the files of the agent have to be."""
    listing = client.listing(wanted.repository, wanted.revision)
    names = choose(listing.files, wanted).files
    return Pin(listing.revision, wanted.revision, {name: listing.file(name) for name in names})


def _check_revision(client: Client, wanted: Reference, pin: Pin, lock_path: Path) -> None:
    """Refuse to choose between the revision that is asked for and the one that is locked."""
    if pin.is_asked_by(wanted.revision):
        return
    commit = client.listing(wanted.repository, wanted.revision).revision
    if commit != pin.revision:
        raise BadArgument(
            f"{wanted} is commit {commit[:12]}, but {lock_path} pins {pin.revision[:12]}: leave "
            f"out @{wanted.revision} to use the pinned one; to use the other, delete the entry "
            f"{wanted.key!r}, or pass update=True to rltransfer.agents.hub.load"
        )


def _choice(found: Pin, wanted: Reference) -> Choice:
    choice = choose(found.files, wanted)
    stray = sorted(set(found.files) - set(choice.files))
    if stray:
        raise BadCheckpoint(f"the lock file lists {stray[0]!r} for {wanted.key}: nothing reads it")
    for name, file in found.files.items():
        check_size(name, file.size)
    return choice


def _fetch(
    store: Store,
    choice: Choice,
    files: Mapping[str, RemoteFile],
    wanted: Reference,
    options: Mapping[str, Any],
) -> tuple[Agent, dict[str, RemoteFile]]:
    """Read the agent from copies: from the very bytes whose sha256 was taken, and no others."""
    with tempfile.TemporaryDirectory(prefix="rltransfer-") as temporary:
        # A zip with a plain name may be in a folder, or a repository, with a telling one.
        parent = PurePosixPath(choice.main).parent.name or wanted.repository.partition("/")[2]
        folder = Path(temporary) / parent
        folder.mkdir()
        facts = {
            name: store.copy(name, files[name], folder / PurePosixPath(name).name)
            for name in choice.files
        }
        try:
            agent = _read(folder / PurePosixPath(choice.main).name, choice, **options)
        except TransferError as error:
            # Where the copies are is of no use to anybody.
            message = str(error).replace(f"{folder}{os.sep}", "")
            raise type(error)(f"{wanted.at(store.revision[:12])}: {message}") from error
    if choice.is_zip:
        origin = f"Downloaded from {PREFIX}{wanted.repository}@{store.revision}:{choice.main}."
        agent = agent.with_card(notes="\n".join(filter(None, [agent.card.notes, origin])))
    return agent, facts


def _read(
    path: Path,
    choice: Choice,
    *,
    classes: Mapping[str, type] | None,
    task: str | None,
    **read_options: Any,
) -> Agent:
    if choice.is_zip:
        from rltransfer.agents import sb3

        return sb3.read(path, task=task, classes=classes, **read_options).agent
    unused = [*(["task"] if task is not None else []), *read_options]
    if unused:
        raise BadArgument(
            f"{unused[0]}= is for zips of Stable-Baselines3, and {choice.main} is an agent of "
            "rltransfer: leave it out, or change the card with Agent.with_card"
        )
    return Agent.read(path, classes=classes)
