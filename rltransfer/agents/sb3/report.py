"""What was read from a file, value by value, and how."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from rltransfer import errors

_WIDTH = 100
#: Longest name and value of a field, in characters.
_LONGEST, _LONGEST_VALUE = 60, 600
#: Width of the column of values, in which longer ones are wrapped.
_COLUMN = 60
#: Names that are listed; a file can hold thousands.
_LISTED = 20

#: Where values come from, and what that means.
HOWS = {
    "plain": "from the JSON text in the zip",
    "inert pickle": "from a pickle in the zip, parsed as data; nothing in it was run",
    "tensors": "from the tensor files in the zip",
    "beside the zip": "from a file beside the zip",
    "file name": "from the name of the zip",
    "folder name": "from the name of the folder around the zip",
    "default": "not in the file, or not taken from it: a default",
    "given": "from you",
    "not recoverable": "a function in the file, which was not run: a substitute",
}


@dataclass(frozen=True)
class Field:
    """One value of an agent.

    Attributes:
        name: What it is, such as ``"gamma"``.
        value: The value as short text.
        how: How it was read, a key of :data:`HOWS`.
    """

    name: str
    value: str
    how: str


@dataclass(frozen=True)
class Report:
    """What became of a file of Stable-Baselines3; as text, a table.

    Attributes:
        path: The file.
        sha256: Its SHA-256, hexadecimal.
        version: Version of Stable-Baselines3 that wrote it, such as ``"1.3.1a2"``.
        algorithm: What trained it: ``"PPO"``, ``"A2C"``, ``"TRPO"``, ``"MaskablePPO"`` or
            ``"RecurrentPPO"``.
        fields: Every value of the agent.
        foreign: Names of classes and functions in the file that rltransfer does not know. None of
            them was imported, and what they belong to was not used.
        notes: What else should be known, one sentence or two each.
    """

    path: str
    sha256: str
    version: str
    algorithm: str
    fields: tuple[Field, ...]
    foreign: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """Names of the values that could not be recovered."""
        return tuple(part.name for part in self.fields if part.how == "not recoverable")

    def __str__(self) -> str:
        head = f"{self.path}: {self.algorithm}, saved by Stable-Baselines3 {self.version}"
        lines = [head, f"sha256 {self.sha256}", "", *_table(self.fields)]
        lines += ["", *_legend(self.fields)]
        if self.foreign:
            lines += ["", *_wrap(f"unknown names, not imported: {_listed(self.foreign)}")]
        if self.notes:
            lines += ["", "notes", *(line for note in self.notes for line in _item(note))]
        return "\n".join(lines)


@dataclass
class Ledger:
    """Collects what a report says, while a file is read."""

    fields: list[Field] = field(default_factory=list)
    # Dicts, as each is there once, and a file can have very many.
    foreign: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, name: str, value: object, how: str) -> None:
        """Add a value."""
        self.fields.append(Field(printable(name), printable(value, _LONGEST_VALUE), how))

    def note(self, text: str) -> None:
        """Add a sentence, once."""
        self.notes[text] = None

    def name(self, path: str) -> None:
        """Add a name that is not known, once."""
        self.foreign[path] = None


def printable(value: object, longest: int = _LONGEST) -> str:
    """Write a value as one short line without anything that a terminal would act upon."""
    text = errors.printable(" ".join(str(value)[: 20 * longest].split()))
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _table(fields: Iterable[Field]) -> list[str]:
    rows = [("field", "value", "read from"), *((f.name, f.value, f.how) for f in fields)]
    wrapped = [(name, textwrap.wrap(value, _COLUMN) or [""], how) for name, value, how in rows]
    first = max(len(name) for name, _, _ in wrapped)
    second = max(len(line) for _, lines, _ in wrapped for line in lines)
    return [
        f"{'' if index else name:<{first}}  {line:<{second}}  {'' if index else how}".rstrip()
        for name, lines, how in wrapped
        for index, line in enumerate(lines)
    ]


def _legend(fields: Iterable[Field]) -> list[str]:
    """Explain the words that the table uses."""
    used = {part.how for part in fields}
    return [f"{how}: {words}" for how, words in HOWS.items() if how in used]


def _listed(names: tuple[str, ...]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(printable(name, 100) for name in names[:_LISTED]) + more


def _item(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="- ", subsequent_indent="  ")


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
