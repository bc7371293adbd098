"""What the card of an agent that was imported from Stable-Baselines3 says about its training.

A card has no fields for it: an import writes it into the notes, in words that are read here again.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from rltransfer.agents.card import Card

_TRAINER = re.compile(
    r"Trained by ([A-Za-z0-9]{1,40}) of Stable-Baselines3 (\S{0,40}?); imported from "
)
_TASK = re.compile(r"^trained on (\S{1,100}), which Gymnasium no longer has; ", re.MULTILINE)
_FUNCTION = re.compile(r"^(\w{1,40}) is a function, which is code and was not run: ", re.MULTILINE)
_IMPORT = "rltransfer import "
#: Options of the import command whose values are no paths, though some have a slash: "ALE/Pong-v5".
_NO_PATHS = ("--task", "--set", "--episodes", "--max-steps")


@dataclass(frozen=True)
class Origin:
    """The training of an imported agent, as far as its files tell.

    Attributes:
        trained_by: Class that trained it, such as ``"A2C"``; empty if that is not known.
        version: Version of Stable-Baselines3, or empty.
        task: Gymnasium id that it was trained on, where Gymnasium has only a newer one; else empty.
        functions: Hyperparameters that were functions, and have a substitute now.
    """

    trained_by: str
    version: str
    task: str
    functions: tuple[str, ...]


def imported(card: Card) -> Origin | None:
    """Tell how an agent was trained that was imported, or None for one of rltransfer's own."""
    trainer = _TRAINER.match(card.notes)
    if trainer is None and not card.command.startswith(_IMPORT):
        return None
    by, version = trainer.groups() if trainer else ("", "")
    task = _TASK.search(card.notes)
    return Origin(by, version, task[1] if task else "", tuple(_FUNCTION.findall(card.notes)))


def made_from(card: Card) -> str:
    """Say which agent it was made from."""
    if card.source:
        return card.source
    return "unknown" if imported(card) else "nothing (trained from scratch)"


def public_command(card: Card) -> str:
    """The command of an import without the folders of the machine that it ran on."""
    try:
        words = shlex.split(card.command)
    except ValueError:  # not written by a shell's rules, and so by no command of rltransfer
        return ""
    before = ["", *words]
    shown = [
        word if _is_no_path(word) or _takes_no_path(option) else _without_folder(word)
        for option, word in zip(before, words, strict=False)
    ]
    return shlex.join(shown)


def _is_no_path(word: str) -> bool:
    """Tell whether a word is such an option, which may be shortened; "--task=ID" is one word."""
    option = word.partition("=")[0]
    return len(option) > 2 and any(name.startswith(option) for name in _NO_PATHS)


def _takes_no_path(word: str) -> bool:
    return "=" not in word and _is_no_path(word)


def _without_folder(word: str) -> str:
    option, equals, path = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path)
