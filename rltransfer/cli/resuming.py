"""What a benchmark was asked to do, beside its results, so that it can go on without being told."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rltransfer.agents import files
from rltransfer.errors import BadArgument
from rltransfer.experiments import folders

NAME = "benchmark.json"
# What decides the runs; where and how fast they are executed does not.
FIELDS = (
    *("pairs", "source", "target", "recipes", "obs_stats", "seeds", "first_seed", "steps"),
    *("points", "episodes", "max_steps", "device", "vec", "settings"),
    *("controls", "unrelated"),
)


def plan(args: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the runs, as JSON data."""
    return json.loads(json.dumps({name: getattr(args, name) for name in FIELDS}))


def note(out: Path, plan: dict[str, Any], command: str) -> None:
    """Write down what is asked for.

    Raises:
        NotWritable: The folder cannot be written.
    """
    folders.create(out)
    text = json.dumps({"command": command, "plan": plan}, indent=1)
    files.atomic_write(out / NAME, text.encode())


def fill(args: argparse.Namespace) -> dict[str, Any]:
    """Fill in the arguments that were left out with what was written down.

    Returns:
        What decides the runs.

    Raises:
        BadArgument: Nothing was written down, or an argument says something else.
    """
    path = args.out / NAME
    try:
        noted = json.loads(path.read_bytes())["plan"]
        noted = {name: noted[name] for name in FIELDS}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadArgument(
            f"--resume finds no benchmark in {args.out} ({error!s:.100}): give the folder with "
            "--out, or all the flags without --resume"
        ) from error
    given = plan(args)
    for name in FIELDS:
        if given[name] not in (noted[name], args.default(name)):
            raise BadArgument(
                f"{args.out} holds a benchmark whose {name} is {noted[name]!r}, not "
                f"{given[name]!r}: leave that flag away, or choose another folder with --out"
            )
        setattr(args, name, noted[name])
    args.settings = [tuple(pair) for pair in args.settings]
    return noted
