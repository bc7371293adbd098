"""Whether PPO from scratch reaches the scores that rl-baselines3-zoo publishes.

    python benchmarks/published/zoo_scores.py                          # 10 minutes
    python benchmarks/published/zoo_scores.py --tasks CartPole-v1 --seeds 2

Each task is trained by `rltransfer.pretrain` with the public hyperparameters and budget, on seeds
that nothing was tuned on (100, 101, ...), and plays 300 held-out episodes with the most likely
action. Runs go to --runs, where finished ones are reused.

The published score is one training run's. It agrees where it lies among ours: between our lowest
and our highest run, each side widened by two standard errors of the published mean. It agrees in
direction where our mean is better, or misses it by less than 5 % of the way from random actions.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from claims import Claim, Row, conclude, document, interval, options, table, verdict

from rltransfer import registry
from rltransfer.agents.files import atomic_write
from rltransfer.evaluate import evaluate
from rltransfer.experiments import folders
from rltransfer.pretrain import pretrain

NAME = "zoo_scores"
COMMAND = f"python benchmarks/published/{NAME}.py"
SOURCE = (
    "rl-baselines3-zoo (DLR-RM), `benchmark.md`, the rows of ppo: mean and standard deviation over "
    "the episodes of one trained agent; hyperparameters of `hyperparams/ppo.yml`."
)
EPISODES = 300
FIRST_SEED = 100
LINEAR_TO_0 = {"end": 0.0, "end_fraction": 1.0}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the zoo's table, and how that agent was trained.

    Attributes:
        mean: Mean return.
        std: Standard deviation over episodes.
        episodes: Their number.
        steps: Budget of environment steps.
        seeds: Training runs to compare it with.
        settings: Hyperparameters; those that are not named are Stable-Baselines3's defaults.
    """

    mean: float
    std: float
    episodes: int
    steps: int
    seeds: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.std / self.episodes**0.5


TASKS = {
    "CartPole-v1": Published(
        mean=500.0,
        std=0.0,
        episodes=300,
        steps=100_000,
        seeds=10,
        settings={
            "n_envs": 8,
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "learning_rate": {"start": 1e-3, **LINEAR_TO_0},
            "clip_range": {"start": 0.2, **LINEAR_TO_0},
        },
    ),
    "Pendulum-v1": Published(
        mean=-172.225,
        std=104.159,
        episodes=750,
        steps=100_000,
        seeds=10,
        settings={
            "n_envs": 4,
            "n_steps": 1024,
            "gae_lambda": 0.95,
            "gamma": 0.9,
            "n_epochs": 10,
            "learning_rate": 1e-3,
            "clip_range": 0.2,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
    ),
    "Acrobot-v1": Published(
        mean=-73.506,
        std=18.201,
        episodes=2013,
        steps=1_000_000,
        seeds=3,
        settings={
            "n_envs": 16,
            "n_steps": 256,
            "gae_lambda": 0.94,
            "gamma": 0.99,
            "n_epochs": 4,
            "normalize_obs": True,
            "normalize_reward": True,
        },
    ),
}


def run(
    tasks: Sequence[str],
    *,
    runs: Path,
    seeds: int | None = None,
    steps: int | None = None,
    episodes: int = EPISODES,
) -> list[Row]:
    """Train and score what is not there yet; one row a run.

    Args:
        tasks: Names out of ``TASKS``.
        runs: Folder of the finished runs.
        seeds: Training runs of each task; by default the task's own number.
        steps: Budget; by default the published one.
        episodes: Held-out episodes, at least 2.

    Raises:
        NotWritable: ``runs`` cannot be written.
    """
    folders.create(runs)
    rows = []
    for task in tasks:
        for seed in range(FIRST_SEED, FIRST_SEED + (seeds or TASKS[task].seeds)):
            rows.append(one(task, seed, steps or TASKS[task].steps, episodes, runs))
            print(rows[-1], flush=True)
    return rows


def one(task: str, seed: int, steps: int, episodes: int, runs: Path) -> Row:
    """Read a run if it is there with the same settings, or train it."""
    path = runs / f"{task}-seed{seed}.json"
    settings = {**TASKS[task].settings, "steps": steps, "episodes": episodes}
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] == settings:
            return found["row"]
    started = time.monotonic()
    agent = pretrain(task, steps, seed=seed, episodes=2, **TASKS[task].settings)
    seconds = time.monotonic() - started
    result = evaluate(agent, task, episodes=episodes)
    row = {
        "task": task,
        "seed": seed,
        "steps": agent.card.steps,
        "episodes": result.episodes,
        "mean": round(result.mean, 4),
        "std": round(result.std, 4),
        "seconds": round(seconds, 1),
    }
    atomic_write(path, json.dumps({"settings": settings, "row": row}).encode())
    return row


def claim(task: str, means: np.ndarray) -> Claim:
    """Compare the published score with the mean returns of our runs, shape (runs,)."""
    row = TASKS[task]
    mean, low, high = interval(means)
    room = 2 * row.error
    near = mean >= row.mean - 0.05 * (row.mean - (registry.task(task).random or 0.0))
    return Claim(
        published=f"{task}, {row.steps:,} steps: {row.mean:.1f} ± {row.std:.1f}",
        ours=f"{mean:.1f} [{low:.1f}, {high:.1f}], {len(means)} runs from {means.min():.1f} to "
        f"{means.max():.1f}",
        verdict=verdict(
            agrees=bool(means.min() - room <= row.mean <= means.max() + room), direction=near
        ),
    )


def page(rows: Sequence[Row], *, command: str = COMMAND) -> str:
    """The document of the check, from its rows alone."""
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    claims = [claim(task, np.array([r["mean"] for r in found])) for task, found in by_task.items()]
    lines = [["task", "seed", "steps", "mean ± std over episodes", "seconds of training"]]
    for row in rows:
        score = f"{row['mean']:.1f} ± {row['std']:.1f}"
        lines.append(
            [row["task"], f"{row['seed']}", f"{row['steps']:,}", score, f"{row['seconds']:.0f}"]
        )
    note = (
        "Intervals are 95 % bootstrap intervals over training runs. Each run played "
        f"{rows[0]['episodes']} held-out episodes with the most likely action. A published score "
        "agrees where it lies between our lowest and our highest run, widened by two standard "
        "errors of the published mean on each side. The training times were taken beside other "
        "work.\n"
    )
    return document(
        title="PPO from scratch against rl-baselines3-zoo",
        source=SOURCE,
        command=command,
        claims=claims,
        body=f"{note}\n{table(lines)}",
    )


def main() -> int:
    parser = options(__doc__, NAME)
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, with commas")
    parser.add_argument("--seeds", type=int, help="runs of each task (default: 10, 10 and 3)")
    parser.add_argument("--runs", type=Path, default=Path("runs/published") / NAME)
    args = parser.parse_args()
    names = args.tasks.split(",")
    if unknown := [name for name in names if name not in TASKS]:
        parser.error(f"{unknown[0]!r} does not exist: choose from {', '.join(TASKS)}")
    torch.set_num_threads(1)
    return conclude(parser, args, NAME, lambda: run(names, runs=args.runs, seeds=args.seeds), page)


if __name__ == "__main__":
    sys.exit(main())
