"""What a hostile file is, and the families that they come from."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostile.bases import Bases

SEED = 2026


@dataclass(frozen=True)
class Sample:
    """Files to be read, and what must come of it.

    Attributes:
        files: Content by name, all in one folder.
        target: What the reader is pointed at: ``NAME.zip``, or ``NAME`` for our own format.
        expect: ``"refused"``, ``"loads"``, or ``"either"``.
        note: What was done, for people.
    """

    files: Mapping[str, bytes]
    target: str = "agent.zip"
    expect: str = "either"
    note: str = ""


Maker = Callable[["Bases", random.Random, int], Sample]


@dataclass(frozen=True)
class Family:
    """Files that are made in one way.

    Attributes:
        name: Its name.
        make: Makes one file from a source of randomness and its number.
        count: How many files the ordinary tests read.
        many: How many the slow tests read.
    """

    name: str
    make: Maker
    count: int
    many: int


FAMILIES: dict[str, Family] = {}


def family(count: int, many: int | None = None) -> Callable[[Maker], Maker]:
    """Register a maker as a family of its name."""

    def register(make: Maker) -> Maker:
        name = make.__name__.replace("_", "-")
        FAMILIES[name] = Family(name, make, count, count if many is None else many)
        return make

    return register


def make(name: str, index: int, bases: Bases, seed: int = SEED) -> Sample:
    """Make one file."""
    return FAMILIES[name].make(bases, random.Random(f"{seed}/{name}/{index}"), index)
