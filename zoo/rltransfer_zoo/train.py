"""Train the agents of the zoo: ``python -m rltransfer_zoo.train NAME [NAME ...]``.

Hyperparameters follow the public tuned values of rl-baselines3-zoo where it has the task.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch

from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.multitask import multitask
from rltransfer.pretrain import CARD_EPISODES, pretrain

LINEAR_TO_0 = {"end": 0.0, "end_fraction": 1.0}

AGENTS: dict[str, dict[str, Any]] = {
    "cartpole": {
        "task": "CartPole-v1",
        "steps": 100_000,
        "n_envs": 8,
        "n_steps": 32,
        "batch_size": 256,
        "n_epochs": 20,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "learning_rate": {"start": 1e-3, **LINEAR_TO_0},
        "clip_range": {"start": 0.2, **LINEAR_TO_0},
    },
    "acrobot": {
        "task": "Acrobot-v1",
        "steps": 1_000_000,
        "n_envs": 16,
        "n_steps": 256,
        "n_epochs": 4,
        "gae_lambda": 0.94,
        "normalize_obs": True,
        "normalize_reward": True,
    },
    "pendulum": {
        "task": "Pendulum-v1",
        "steps": 300_000,
        "n_envs": 4,
        "n_steps": 1024,
        "batch_size": 256,
        "n_epochs": 20,
        "gamma": 0.9,
        "learning_rate": {"start": 1e-3, **LINEAR_TO_0},
        "clip_range": {"start": 0.3, "end": 0.1, "end_fraction": 1.0},
        "normalize_reward": True,
        "use_sde": True,
        "sde_sample_freq": 4,
    },
    "mountaincar-continuous": {
        "task": "MountainCarContinuous-v0",
        "steps": 100_000,
        "n_envs": 8,
        "n_steps": 64,
        "batch_size": 256,
        "gae_lambda": 0.9,
        "gamma": 0.999,
        "learning_rate": {"start": 1e-3, **LINEAR_TO_0},
        "max_grad_norm": 5.0,
        "vf_coef": 0.19,
        "use_sde": True,
        "policy_kwargs": {"log_std_init": -2.0, "ortho_init": False},
        "normalize_obs": True,
        "normalize_reward": True,
    },
    "lunarlander": {
        "task": "LunarLander-v3",
        "steps": 1_000_000,
        "n_envs": 16,
        "n_steps": 1024,
        "n_epochs": 4,
        "gae_lambda": 0.98,
        "gamma": 0.999,
        "ent_coef": 0.01,
    },
    "doorkey-5x5": {
        "task": "rlt/DoorKey-5x5-v0",
        "steps": 200_000,
        "n_envs": 8,
        "n_steps": 128,
        "learning_rate": {"start": 5e-4, **LINEAR_TO_0},
        "ent_coef": 0.01,
        "normalize_reward": True,
    },
}

#: Agents of several tasks. Their hyperparameters were chosen on other seeds.
MULTITASK_AGENTS: dict[str, dict[str, Any]] = {
    "classic4": {
        "tasks": ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0"],
        "steps": 1_500_000,
        "batch_size": 512,
        "task_options": {
            "CartPole-v1": {"gamma": 0.98},
            "Pendulum-v1": {"gamma": 0.9},
            "MountainCarContinuous-v0": {"gamma": 0.999, "noise": 0.95},
        },
    },
    "cartpole-family": {
        "tasks": [
            "CartPole-v1",
            "rlt/CartPoleHeavyPole-v0",
            "rlt/CartPoleGravity-v0",
            "rlt/CartPoleHeavyCart-v0",
        ],
        "steps": 400_000,
        "batch_size": 512,
        "gamma": 0.98,
        "encoders": "shared",
        "heads": "shared",
    },
    "minigrid-mt3": {
        "tasks": ["rlt/LavaGapS7-v0", "rlt/RedBlueDoors-6x6-v0", "rlt/MemoryS11-v0"],
        "steps": 2_400_000,
        "n_envs": 16,
        "batch_size": 768,
        "n_steps": 128,
        "n_epochs": 8,
        "ent_coef": 0.03,
        "encoders": "shared",
        "vec": "envpool",
    },
}

EVERY = (*AGENTS, *MULTITASK_AGENTS)


def train(name: str, folder: Path, *, seed: int, store_as: str | None = None) -> None:
    """Train one agent and store it as ``<folder>/<name>.safetensors`` and ``.json``.

    Args:
        name: Which one.
        folder: Where it goes.
        seed: Seed of the training.
        store_as: Another name to store it under.
    """
    called = store_as or name
    if name in MULTITASK_AGENTS:
        _train_multitask(name, folder / called, seed=seed)
        return
    settings = dict(AGENTS[name])
    task, steps = settings.pop("task"), settings.pop("steps")
    started = time.monotonic()
    agent = pretrain(
        task,
        steps,
        name=called,
        seed=seed,
        command=f"python -m rltransfer_zoo.train {name} --seed {seed}",
        **settings,
    )
    agent.save(folder / called)
    print(f"{called}: {agent.card.score} after {time.monotonic() - started:.0f} s", flush=True)


def _train_multitask(name: str, path: Path, *, seed: int) -> None:
    settings = dict(MULTITASK_AGENTS[name])
    tasks, steps = settings.pop("tasks"), settings.pop("steps")
    run = multitask(
        tasks,
        steps,
        name=path.name,
        seed=seed,
        command=f"python -m rltransfer_zoo.train {name} --seed {seed}",
        points=1,
        episodes=CARD_EPISODES,
        **settings,
    )
    run.agent.save(path)
    print(run, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m rltransfer_zoo.train", description=__doc__)
    parser.add_argument("names", nargs="+", choices=[*EVERY, "all"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    names = EVERY if "all" in args.names else dict.fromkeys(args.names)
    try:
        folders.create(args.out)
        folders.check_writable(args.out)
        for name in names:
            train(name, args.out, seed=args.seed)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
