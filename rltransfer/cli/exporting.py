"""``export``: an agent for those who do not have rltransfer."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from rltransfer.agents import hub, load
from rltransfer.agents.agent import Agent
from rltransfer.agents.policies import ALGORITHMS
from rltransfer.errors import BadArgument, NotWritable
from rltransfer.experiments import folders


def export(args: argparse.Namespace) -> int:
    """Write an agent as an SB3 zip, or as a folder for the Hub."""
    agent = load(args.agent)
    with _folder(args.path.parent):
        FORMATS[args.to](agent, args)
    return 0


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Create a folder and those around it; after a failure, those that are new are gone again."""
    created = folders.missing(folder)
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritable(
                f"{folder} cannot be written ({error.strerror}): give a path in another folder"
            ) from error
        yield
    except BaseException:
        for path in created:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _zip(agent: Agent, args: argparse.Namespace) -> None:
    if args.path.is_dir():
        raise BadArgument(f"{args.path} is a folder: give a path in it, such as {args.path}/a.zip")
    for name in ("repository", "licence"):
        if getattr(args, name) is not None:
            raise BadArgument(f"--{name} is for the card on the Hub: give --to hub-folder too")
    path = agent.to_sb3(args.path)
    kind = ALGORITHMS[agent.algorithm]
    print(f"{path}: open it with {kind.__name__}.load of {kind.__module__.partition('.')[0]}")
    if agent.normalization is not None:
        print(f"{path.with_suffix('.vecnormalize.pkl')}: its statistics, for VecNormalize.load")


def _hub_folder(agent: Agent, args: argparse.Namespace) -> None:
    folder = hub.write_folder(
        agent, args.path, repository=args.repository or "", licence=args.licence or ""
    )
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    if not args.licence:
        print("it names no licence: give one with --licence, such as mit, if others may use it")
    to = args.repository or "OWNER/REPO"
    print(f"upload it with: hf upload {to} {shlex.quote(str(folder))}")


FORMATS: dict[str, Callable[[Agent, argparse.Namespace], None]] = {
    "zip": _zip,
    "hub-folder": _hub_folder,
}
