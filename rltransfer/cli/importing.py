"""``import``: an agent of Stable-Baselines3 becomes one of rltransfer."""

from __future__ import annotations

import argparse

from rltransfer.agents import Agent, bundle, hub, read_sb3
from rltransfer.agents.hyperparameters import NAMES
from rltransfer.cli.commands import agent_path, settings
from rltransfer.errors import BadArgument
from rltransfer.evaluate import evaluate
from rltransfer.experiments import folders
from rltransfer.training.threads import few_threads


def import_(args: argparse.Namespace) -> int:
    """Read a zip as data, say what was read and how, and store the agent."""
    if str(args.path).startswith(hub.PREFIX):
        raise BadArgument(
            f"{args.path}: agents of the Hub need no import: `rltransfer evaluate {args.path}` or "
            f"`rltransfer finetune {args.path} TARGET` takes them as they are"
        )
    path = agent_path(args.out)
    folders.check_writable(path.parent)
    found = read_sb3(
        args.path,
        task=args.task,
        normalization=args.normalization,
        hyperparameters=settings(args, NAMES),
        strict=args.strict,
    )
    agent = found.agent.with_card(name=path.name, command=args.command_line)
    if args.episodes is not None:
        agent = scored(agent, args.episodes, args.max_steps)
    folders.create(path.parent)
    replaced = ", in place of the agent that was there" if bundle.pair(path)[1].exists() else ""
    agent.save(path)
    print(f"{found.report}\n\n{agent}\nwritten to {path}.safetensors and .json{replaced}")
    return 0


def scored(agent: Agent, episodes: int, max_steps: int | None) -> Agent:
    """Let an agent play its own task, and note on its card how well it does."""
    with few_threads(agent.weights.values()):
        result = evaluate(agent, episodes=episodes, max_steps=max_steps)
    return agent.with_card(score=result.score)
