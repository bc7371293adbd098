"""What a check found: claims with their verdicts, and the two files that tell of them."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rltransfer.agents.files import atomic_write
from rltransfer.errors import BadArgument, TransferError
from rltransfer.experiments import folders
from rltransfer.metrics import bootstrap_interval

AGREES, DIRECTION, DISAGREES = "agrees", "agrees in direction", "does not agree"
RESULTS = Path(__file__).parents[1] / "results" / "published"
Row = Mapping[str, Any]
"""One line of raw numbers: column to str, int or float."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One published statement, next to what was measured here.

    Attributes:
        published: What was published, with its numbers.
        ours: What was measured, with its interval where there is one.
        verdict: ``"agrees"``, ``"agrees in direction"`` or ``"does not agree"``.
    """

    published: str
    ours: str
    verdict: str

    def __post_init__(self) -> None:
        if self.verdict not in (AGREES, DIRECTION, DISAGREES):
            raise BadArgument(
                f"verdict is {self.verdict!r}: expected {AGREES!r}, {DIRECTION!r} or {DISAGREES!r}"
            )


def verdict(*, agrees: bool, direction: bool = False) -> str:
    """Put a verdict into words; what agrees needs no direction."""
    return AGREES if agrees else DIRECTION if direction else DISAGREES


def interval(values: ArrayLike) -> tuple[float, float, float]:
    """Mean over runs with its 95 % bootstrap interval (nan for a single run).

    Args:
        values: One value per run, shape ``(runs,)``.
    """
    low, high = bootstrap_interval(values)
    return float(np.asarray(values).mean()), float(low), float(high)


def written(values: ArrayLike, digits: int = 2, *, sign: bool = False) -> str:
    """A mean with its interval, such as ``0.50 [0.41, 0.58]``."""
    mean, low, high = (f"{x:{'+' if sign else ''}.{digits}f}" for x in interval(values))
    return f"{mean} [{low}, {high}]"


def table(lines: Iterable[Sequence[str]]) -> str:
    """Markdown table; the first line is its head."""
    head, *body = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *body))


def document(
    *, title: str, source: str, command: str, claims: Sequence[Claim], body: str = ""
) -> str:
    """Write up a check: where it was published, a line a claim, and the numbers behind them."""
    lines = [["published", "here", "verdict"]]
    lines += [[claim.published, claim.ours, f"**{claim.verdict}**"] for claim in claims]
    parts = (f"# {title}\n", f"Source: {source}\n", f"Made by `{command}`.\n", table(lines), body)
    return "\n".join(part for part in parts if part)


def write(out: Path, name: str, page: str, rows: Sequence[Row]) -> None:
    """Write ``<name>.md`` and ``<name>.csv`` into a folder, each whole or not at all.

    Args:
        out: The folder; made if it is missing.
        name: Name of the check.
        page: Its document.
        rows: Its raw numbers, at least one row, all with the same columns.

    Raises:
        NotWritable: The folder cannot be written.
    """
    folders.create(out)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(out / f"{name}.csv", buffer.getvalue().encode())
    atomic_write(out / f"{name}.md", page.encode())


def read(path: Path) -> list[dict[str, Any]]:
    """Read the rows that :func:`write` wrote, numbers as numbers."""
    with path.open(newline="") as file:
        return [{key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def options(description: str | None, name: str) -> argparse.ArgumentParser:
    """Parser with the options that all checks share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(name=name)
    words = "folder of the page and the numbers (default: benchmarks/results/published; "
    words += f"runs/published/{name} where another option is given)"
    parser.add_argument("--out", type=Path, help=words)
    return parser


def place(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Path:
    """Folder to write to: the committed results only when the check is run as it is published."""
    if args.out:
        return args.out
    given = {key: value for key, value in vars(args).items() if value != parser.get_default(key)}
    return Path("runs/published") / args.name if given else RESULTS


def conclude(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    name: str,
    measure: Callable[[], Sequence[Row]],
    page: Callable[[Sequence[Row]], str],
) -> int:
    """Measure, write and print what came out; returns the exit code.

    Args:
        parser: What read the arguments.
        args: The arguments.
        name: Of the check.
        measure: Gives its raw numbers.
        page: Makes its page of them.
    """
    try:
        rows = measure()
        text = page(rows)
        write(place(parser, args), name, text, rows)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0
