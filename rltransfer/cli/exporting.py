"""``export``: an agent for those who do not have rltransfer."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable

from rltransfer.agents import hub, load
from rltransfer.agents.agent import Agent
from rltransfer.errors import BadArgument


def export(args: argparse.Namespace) -> int:
    """Write an agent as an SB3 zip, or as a folder for the Hub."""
    FORMATS[args.to](load(args.agent), args)
    return 0


def _zip(agent: Agent, args: argparse.Namespace) -> None:
    if args.path.is_dir():
        raise BadArgument(f"{args.path} is a folder: give a path in it, such as {args.path}/a.zip")
    for name in ("repository", "licence"):
        if getattr(args, name) is not None:
            raise BadArgument(f"--{name} is for the card on the Hub: give --to hub-folder too")
    path = agent.to_sb3(args.path)
    print(f"{path}: open it with stable_baselines3's load")
    if agent.normalization is not None:
        print(f"{path.with_suffix('.vecnormalize.pkl')}: its statistics, for VecNormalize.load")


def _hub_folder(agent: Agent, args: argparse.Namespace) -> None:
    folder = hub.write_folder(
        agent, args.path, repository=args.repository or "", licence=args.licence or ""
    )
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    to = args.repository or "OWNER/REPO"
    print(f"upload it with: hf upload {to} {shlex.quote(str(folder))}")


FORMATS: dict[str, Callable[[Agent, argparse.Namespace], None]] = {
    "zip": _zip,
    "hub-folder": _hub_folder,
}
