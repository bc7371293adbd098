"""Agents by name, by path, or from the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rltransfer.agents import bundle, hub, sb3, zoo
from rltransfer.agents import classes as named
from rltransfer.agents.agent import Agent
from rltransfer.agents.files import usable
from rltransfer.agents.multitask.names import SEPARATOR
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName, suggest

ZIP = ".zip"
_LISTED = 10


def load(
    name_or_path: str | Path,
    classes: Mapping[str, type] | None = None,
    *,
    task: str | None = None,
    normalization: str | Path | bool | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    strict: bool = False,
    lock: str | Path | None = None,
) -> Agent:
    """Load an agent; nothing in its files is executed.

    Args:
        name_or_path: Name of an agent of the zoo; a path with or without ``.safetensors`` or
            ``.json``; a zip of Stable-Baselines3; a folder with one agent in it; or
            ``"hub:owner/repo"`` on the Hugging Face Hub, with ``@revision`` and ``:filename`` after
            it where they are needed. The zoo has precedence: write ``./cartpole`` for a file of
            that name. Each of these with ``#TASK`` behind it is that task of an agent of several,
            as with :meth:`Agent.for_task`.
        classes: Classes of the user that the policy needs, by ``"module:QualName"`` or by name.
        task: For zips: what the agent was trained on, where neither the files beside it nor its
            name say so.
        normalization: For zips: path of the pickle of ``VecNormalize``; False goes without. By
            default it is looked for beside the zip.
        hyperparameters: For zips: values to take instead of the file's.
        strict: For zips: refuse names of classes and functions that are not known. See
            :func:`rltransfer.read_sb3`, which also reports what was read.
        lock: For the Hub: a file that keeps what was downloaded, to get the same again.

    Raises:
        BadArgument: It is not a name or path, or an option does not fit it.
        BadCheckpoint: The files are missing, corrupt, truncated, or of another agent.
        MissingExtra: The Hub needs a package that is not installed.
        UnknownName: Neither the zoo nor the current folder has it, or the agent has no such task.
    """
    if not isinstance(name_or_path, str | Path):
        raise BadArgument(
            f"load({name_or_path!r:.60}): expected a name or a path; "
            "for a live model use Agent.from_model(model, card=...)"
        )
    classes = named.check_given(classes)
    chosen = {"task": task, "normalization": normalization, "hyperparameters": hyperparameters}
    options = {name: value for name, value in chosen.items() if value is not None}
    options |= {"strict": True} if strict else {}
    base, id = _split(str(name_or_path))
    if id is None:
        return _load(name_or_path, classes, lock, options)
    whole = Path(base) if isinstance(name_or_path, Path) else base
    return _load(whole, classes, lock, options).for_task(id)


def _load(
    name_or_path: str | Path,
    classes: Mapping[str, type],
    lock: str | Path | None,
    options: dict[str, Any],
) -> Agent:
    """Load a whole agent."""
    given = str(name_or_path)
    if given.startswith(hub.PREFIX):
        return hub.load(given, classes=classes, lock=lock, **options)
    if lock is not None:
        raise BadArgument(f"lock={str(lock)!r}: only for agents of the Hub, such as hub:owner/repo")
    usable(given)
    if not given.endswith(ZIP) and zoo.holds(given):
        _refuse(options, given)
        with zoo.folder() as folder:
            return Agent.read(folder / given, classes=classes)
    inside = _inside(given)
    given = given if inside is None else str(inside)
    path = _zip_path(given)
    if path is not None:
        return sb3.read(path, classes=classes, **options).agent
    _refuse(options, given)
    return _own(name_or_path if inside is None else inside, classes)


def _split(given: str) -> tuple[str, str | None]:
    """Split what is before and behind the last ``#``; files with one in their names come first."""
    base, separator, id = given.rpartition(SEPARATOR)
    if not separator or (not given.startswith(hub.PREFIX) and _is_there(given)):
        return given, None
    if not base or not id:
        raise BadArgument(
            f"{given!r:.200}: expected AGENT{SEPARATOR}TASK, such as trunk{SEPARATOR}CartPole-v1"
        )
    return base, id


def is_file(given: str) -> bool:
    """Tell whether a name means an agent outside of the zoo: files that are there, or the Hub.

    So does one task of an agent, wherever that is.
    """
    base, id = _split(given)
    return _is_there(base) or (id is not None and zoo.holds(base))


def _is_there(given: str) -> bool:
    if given.startswith(hub.PREFIX) or given.endswith(ZIP):
        return True
    if not zoo.holds(given) and (_zip_path(given) is not None or _is_agent_folder(given)):
        return True
    return bool(Path(given).name) and any(map(os.path.exists, bundle.pair(given)))


def label_of(given: str) -> str:
    """Return a short name for an agent that was given by name, path, or reference to the Hub."""
    base, id = _split(given)
    if id is not None:
        return f"{label_of(base)}-{re.split('[/:]', id)[-1]}"
    name = (bundle.stem(given).name or Path(given).resolve().name).removesuffix(ZIP)
    return re.sub(r"[@:].*", "", name) or name if given.startswith(hub.PREFIX) else name


def _refuse(options: Mapping[str, Any], given: str) -> None:
    """Refuse options of zips for an agent that is none."""
    if options:
        raise BadArgument(
            f"{given!r} is no zip of Stable-Baselines3, and has its own {' and '.join(options)}: "
            "leave them out, or change the agent afterwards"
        )


def _own(name_or_path: str | Path, classes: Mapping[str, type] | None) -> Agent:
    """Load an agent that :meth:`Agent.save` wrote."""
    if not _is_path(name_or_path):
        with zoo.folder() as folder:
            known = suggest(str(name_or_path), zoo.names(folder), kind="agent")
        raise UnknownName(f"{known}; or give a path to a file")
    return Agent.read(name_or_path, classes=classes)


def _inside(given: str) -> Path | None:
    """Return the one agent in a folder, our own format first, or None where no folder is meant.

    Raises:
        BadCheckpoint: There is none in it, or several.
    """
    if not _is_agent_folder(given):
        return None
    folder = Path(given).expanduser()
    found, files = _agents_in(folder), _files_in(folder)
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise BadCheckpoint(
            f"{given} holds several agents: give one, such as {folder / found[0]}; there are "
            f"{_listed(found)}"
        )
    raise BadCheckpoint(
        f"{given} is a folder without an agent: expected NAME.safetensors and NAME.json, or a zip "
        f"of Stable-Baselines3, and it holds {_listed(files) or 'no files'}"
    )


def _is_agent_folder(given: str) -> bool:
    """Tell whether a folder is meant: it looks like a path, or has agents in it."""
    path = Path(given).expanduser()
    if not path.is_dir():
        return False
    if not path.name:
        return True
    if any(map(os.path.isfile, (*bundle.pair(path), path.with_name(path.name + ZIP)))):
        return False
    return len(path.parts) > 1 or given.endswith(os.sep) or bool(_agents_in(path))


def _agents_in(folder: Path) -> list[str]:
    """Names of the agents in a folder: of our own format, or else of zips."""
    names = _files_in(folder)
    tensors, present = [n for n in names if n.endswith(bundle.SUFFIXES[0])], set(names)
    own = [name for name in tensors if _text(name) in present]
    return own or [name for name in names if name.endswith(ZIP)]


def _text(tensors: str) -> str:
    return tensors.removesuffix(bundle.SUFFIXES[0]) + bundle.SUFFIXES[1]


def _files_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise BadCheckpoint(f"{folder}: cannot be read: {error.strerror}") from error


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(f"{name!r:.80}" for name in names[:_LISTED]) + more


def _zip_path(given: str) -> Path | None:
    """Return the zip that is meant, be it without its suffix, as SB3 lets it be left out."""
    path = Path(given).expanduser()
    if path.suffix == ZIP:
        return path
    if not path.name or any(map(os.path.exists, bundle.pair(path))):
        return None
    zipped = path.with_name(path.name + ZIP)
    if zipped.is_file():
        return zipped
    # SB3 adds no suffix to a name with a point in it, such as ppo_lr0.001.
    return path if path.is_file() and _is_zip(path) else None


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def _is_path(name_or_path: str | Path) -> bool:
    """Tell whether a path is meant: it looks like one, or the files are there."""
    path = bundle.stem(name_or_path)
    looks = isinstance(name_or_path, Path) or len(path.parts) > 1 or str(path) != str(name_or_path)
    return looks or any(map(os.path.exists, bundle.pair(path)))
