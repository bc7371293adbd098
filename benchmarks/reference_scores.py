"""Measure the reference score of tasks: PPO from scratch, one fixed seed, 100 held-out episodes.

    python benchmarks/reference_scores.py 'rlt/CartPoleLong-v0' ...
    python benchmarks/reference_scores.py --family cartpole
    python benchmarks/reference_scores.py 'rlt/MountainCarContinuousWeak-v0' --source NAME

    python benchmarks/reference_scores.py --zoo

The third form fine-tunes a zoo agent instead, for tasks where training from scratch finds nothing.
The last one takes the scores on the cards of the zoo's agents for the tasks they were trained on.

Each family is trained with the hyperparameters of its zoo agent (or the ones below), for the steps
below; for some tasks, both differ. The result is merged into envs/rltransfer_envs/scores.json,
where it stays: a reference is a frozen constant, so that normalized scores can be compared between
versions.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from rltransfer.agents import Agent, Card, agents
from rltransfer.errors import TransferError
from rltransfer.pretrain import as_agent, pretrain
from rltransfer.registry import Task, tasks
from rltransfer.transfer import adapt
from rltransfer_envs.scores import PATH, merge
from rltransfer_zoo.train import AGENTS

MUJOCO = {
    "n_envs": 8,
    "n_steps": 256,
    "batch_size": 128,
    "normalize_obs": True,
    "normalize_reward": True,
}
# Steps and hyperparameters by family; a name stands for those of a zoo agent.
FAMILIES: dict[str, tuple[int, str | dict[str, Any]]] = {
    "cartpole": (150_000, "cartpole"),
    "pendulum": (200_000, "pendulum"),
    "acrobot": (300_000, "acrobot"),
    "mountaincar-continuous": (60_000, "mountaincar-continuous"),
    "mountaincar": (
        300_000,
        {
            "n_envs": 16,
            "n_steps": 16,
            "n_epochs": 4,
            "gae_lambda": 0.98,
            "normalize_obs": True,
            "normalize_reward": True,
        },
    ),
    "frozenlake": (100_000, {"n_envs": 8, "n_steps": 128, "batch_size": 256, "ent_coef": 0.01}),
    "lunarlander": (300_000, "lunarlander"),
    "minigrid": (200_000, "doorkey-5x5"),
    "halfcheetah": (200_000, MUJOCO),
    "hopper": (200_000, MUJOCO),
}
# Steps of single tasks, and what else differs from their family.
TASKS: dict[str, tuple[int, dict[str, Any]]] = {
    "rlt/DoorKey-6x6-v0": (400_000, {}),
    "rlt/LavaGapS7-v0": (400_000, {}),
    # Half of the episodes is the most that can be had without memory.
    "rlt/MemoryS11-v0": (400_000, {}),
    # With the family's entropy bonus, no reward is found any more after 200,000 steps.
    "rlt/RedBlueDoors-6x6-v0": (500_000, {"ent_coef": 0.03, "n_envs": 16, "batch_size": 256}),
    "rlt/SimpleCrossingS9N2-v0": (800_000, {}),
}


def settings_of(task: Task) -> tuple[int, dict[str, Any]]:
    """Steps and hyperparameters of a task."""
    steps, chosen = FAMILIES[task.family]
    settings = dict(AGENTS[chosen]) if isinstance(chosen, str) else dict(chosen)
    steps, own = TASKS.get(task.id, (steps, {}))
    return steps, {k: v for k, v in (settings | own).items() if k not in ("task", "steps")}


def finetuned(source: str, id: str, steps: int, *, seed: int, command: str) -> Agent:
    """Fine-tune all of a zoo agent."""
    model = adapt(source, id, "full", seed=seed)
    model.learn(steps)
    return as_agent(model, task=id, seed=seed, command=command, source=source)


def record(card: Card) -> None:
    """Merge a reference into the file of scores; several of these programs may run at once."""
    if card.score is None:
        raise ValueError(f"{card.name} has no score")
    entry = {
        "reference": round(card.score.mean, 4),
        "reference_ci": [round(card.score.ci_low, 4), round(card.score.ci_high, 4)],
        "steps": card.steps,
        "seed": card.seed,
        "command": card.command,
        "versions": dict(card.versions),
        "date": card.created,
    }
    lock = os.open(PATH.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        merge({card.task: entry})
    finally:
        os.close(lock)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", help="task ids")
    parser.add_argument("--family", choices=FAMILIES, help="all tasks of one family")
    parser.add_argument("--source", help="zoo agent to fine-tune, instead of starting from scratch")
    parser.add_argument("--zoo", action="store_true", help="take the scores of the zoo's agents")
    parser.add_argument("--again", action="store_true", help="measure those that have one, too")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.zoo:
        for card in agents().values():
            record(card)
    chosen = [
        task
        for task in tasks().values()
        if (task.id in args.ids or task.family == args.family)
        and (args.again or task.reference is None)
    ]
    for task in chosen:
        steps, settings = settings_of(task)
        started = time.monotonic()
        command = f"python {Path(__file__).parent.name}/reference_scores.py {task.id}"
        command += f" --source {args.source}" if args.source else ""
        try:
            agent = (
                finetuned(args.source, task.id, steps, seed=args.seed, command=command)
                if args.source
                else pretrain(task.id, steps, seed=args.seed, command=command, **settings)
            )
        except TransferError as error:
            print(f"{task.id}: {error}", file=sys.stderr, flush=True)
            return 1
        record(agent.card)
        print(f"{task.id}: {agent.card.score} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
