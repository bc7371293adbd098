"""The agents that come with rltransfer."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path

from rltransfer.agents import bundle, document
from rltransfer.agents.card import Card
from rltransfer.agents.jsondata import take
from rltransfer.errors import BadArgument, BadCheckpoint


def agents() -> dict[str, Card]:
    """Return the cards of the agents in the zoo, by name.

    Raises:
        BadCheckpoint: A file of the zoo is corrupt.
    """
    with folder() as path:
        return {name: _card(path / f"{name}.json") for name in names(path)}


def folder() -> AbstractContextManager[Path]:
    """Return the folder of the zoo, as it can be used in a ``with`` block."""
    return as_file(files("rltransfer_zoo"))


def holds(name: str) -> bool:
    """Tell whether the zoo has an agent of that name."""
    with folder() as path:
        return name in names(path)


def names(folder: Path) -> list[str]:
    """Find the agents by either of their files, so that one with a missing file is reported."""
    texts = [path for path in folder.glob("*.json") if bundle.looks_like_agent(path)]
    return sorted({path.stem for path in [*texts, *folder.glob("*.safetensors")]})


def _card(path: Path) -> Card:
    data = bundle.read_text(path)
    try:
        return document.read_card(take(data, "card", dict))
    except (BadArgument, BadCheckpoint) as error:
        raise BadCheckpoint(f"{path}: {error}") from error
