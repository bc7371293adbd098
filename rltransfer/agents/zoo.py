"""Agents by name or by path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from rltransfer.agents import bundle, document
from rltransfer.agents.agent import Agent
from rltransfer.agents.card import Card
from rltransfer.agents.jsondata import take
from rltransfer.errors import BadArgument, BadCheckpoint, UnknownName, suggest

_FOREIGN = (
    "cannot be read by name: open it in your own code with stable_baselines3.PPO.load(...), "
    "which runs code from the file, and hand it over with Agent.from_model(model, card=...)"
)


def load(name_or_path: str | Path, classes: Mapping[str, type] | None = None) -> Agent:
    """Load an agent; nothing in its files is executed.

    Args:
        name_or_path: Name of an agent of the zoo, or a path with or without ``.safetensors`` or
            ``.json``. The zoo has precedence: write ``./cartpole`` for a file of that name.
        classes: Classes of the user that the policy needs, by ``"module:QualName"`` or by name.

    Raises:
        BadArgument: It is a file of another format, or not a name.
        BadCheckpoint: The files are missing, corrupt, truncated, or of another agent.
        UnknownName: Neither the zoo nor the current folder has it.
    """
    if not isinstance(name_or_path, str | Path):
        raise BadArgument(
            f"load({name_or_path!r:.60}): expected a name or a path; "
            "for a live model use Agent.from_model(model, card=...)"
        )
    given = str(name_or_path)
    if given.startswith("hub:") or given.endswith(".zip"):
        raise BadArgument(f"{given!r} {_FOREIGN}")
    with as_file(files("rltransfer_zoo")) as folder:
        names = _names(folder)
        if given in names:
            return Agent.read(folder / given, classes=classes)
        _refuse_zip(given)
        if not _is_path(name_or_path):
            raise UnknownName(suggest(given, names, kind="agent") + "; or give a path to a file")
    return Agent.read(name_or_path, classes=classes)


def agents() -> dict[str, Card]:
    """Return the cards of the agents in the zoo, by name.

    Raises:
        BadCheckpoint: A file of the zoo is corrupt.
    """
    with as_file(files("rltransfer_zoo")) as folder:
        return {name: _card(folder / f"{name}.json") for name in _names(folder)}


def _names(folder: Path) -> list[str]:
    """Find the agents by either of their files, so that one with a missing file is reported."""
    texts = [path for path in folder.glob("*.json") if bundle.looks_like_agent(path)]
    return sorted({path.stem for path in [*texts, *folder.glob("*.safetensors")]})


def _card(path: Path) -> Card:
    data = bundle.read_text(path)
    try:
        return document.read_card(take(data, "card", dict))
    except (BadArgument, BadCheckpoint) as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def _is_path(name_or_path: str | Path) -> bool:
    """Tell whether a path is meant: it looks like one, or the files are there."""
    path = bundle.stem(name_or_path)
    looks = isinstance(name_or_path, Path) or len(path.parts) > 1 or str(path) != str(name_or_path)
    return looks or any(map(os.path.exists, bundle.pair(path)))


def _refuse_zip(given: str) -> None:
    zipped = Path(given + ".zip").expanduser()
    if os.path.exists(zipped) and not any(map(os.path.exists, bundle.pair(given))):
        raise BadArgument(f"'{zipped}' {_FOREIGN}")
