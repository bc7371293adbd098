"""What is left of a sequence of tasks: retention methods against plain fine-tuning.

    python benchmarks/continual.py --jobs 2             # all of it: half an hour on two cores
    python benchmarks/continual.py --seeds 1 --steps 2000 --methods finetune,ewc

Five CartPoles are learnt one after the other; observations tell which one is played. Every finished
sequence is kept in --runs and reused when the command is repeated; the tables go to --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rltransfer import metrics
from rltransfer.agents.files import atomic_write, csv_of
from rltransfer.continual import STRATEGIES, ContinualRun, continual
from rltransfer.continual.strategies import Distillation
from rltransfer.errors import BadCheckpoint, TransferError
from rltransfer.experiments import folders
from rltransfer.methods import EWC, Cloning
from rltransfer.pretrain import versions
from rltransfer.training.threads import cores

TASKS = (
    "CartPole-v1",
    "rlt/CartPoleSwapped-v0",
    "rlt/CartPoleHeavyPole-v0",
    "rlt/CartPolePermuted-v0",
    "rlt/CartPoleSlowControl-v0",
)
OPTIONS: Mapping[str, Any] = {
    **{"n_envs": 8, "n_steps": 128, "batch_size": 256, "n_epochs": 10, "learning_rate": 1e-3},
    **{"policy_kwargs": {"net_arch": [64, 64]}, "points": 5, "episodes": 10},
}
SHARE = Distillation.SHARE
HERE = Path(__file__).parent
OUT = HERE / "results" / "continual"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default=",".join(STRATEGIES), help="names, with commas")
    parser.add_argument("--seeds", type=int, default=5, help="sequences of each (default 5)")
    parser.add_argument("--steps", type=int, default=20_000, help="on each task (default 20000)")
    parser.add_argument("--jobs", type=int, default=cores(), help="sequences at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/continual"))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    try:
        return compare(args)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def compare(args: argparse.Namespace) -> int:
    """Learn the sequences that are missing, and write the tables."""
    methods = args.methods.split(",")
    for folder in (args.runs, args.out):
        folders.create(folder)
    wanted = [(method, seed) for seed in range(args.seeds) for method in methods]
    with ProcessPoolExecutor(args.jobs) as pool:
        started = [pool.submit(learn, *one, args.steps, args.runs) for one in wanted]
        for done in as_completed(started):
            print(done.result(), flush=True)
    runs = {
        method: [read(method, seed, args.steps, args.runs) for seed in range(args.seeds)]
        for method in methods
    }
    page = markdown(runs, args)
    atomic_write(args.out / "continual.md", page.encode())
    atomic_write(args.out / "scores.csv", scores(runs))
    print(page)
    return 0


def learn(method: str, seed: int, steps: int, runs: Path) -> str:
    """Learn one sequence, unless it is there, and keep what it came to."""
    path = _path(method, seed, steps, runs)
    if not path.exists():
        torch.set_num_threads(1)
        run = continual(TASKS, method, steps=steps, seed=seed, **OPTIONS)
        data = {"scores": run.scores.tolist(), "areas": run.areas.tolist()}
        atomic_write(path, json.dumps(data).encode())
    return f"{method} seed {seed}"


def read(method: str, seed: int, steps: int, runs: Path) -> ContinualRun:
    """Read what one sequence came to.

    Raises:
        BadCheckpoint: The file is damaged.
    """
    path = _path(method, seed, steps, runs)
    try:
        data = json.loads(path.read_text())
        scores, areas = (np.array(data[name], dtype=float) for name in ("scores", "areas"))
    except (ValueError, TypeError, KeyError) as error:
        raise BadCheckpoint(f"{path} is damaged: delete it, to learn it again") from error
    return ContinualRun(
        method=method, tasks=TASKS, steps=steps, seed=seed, scores=scores, areas=areas, agents=[]
    )


def _path(method: str, seed: int, steps: int, runs: Path) -> Path:
    return runs / f"{method}-{steps}-{seed}.json"


def markdown(runs: Mapping[str, Sequence[ContinualRun]], args: argparse.Namespace) -> str:
    """The tables, in words."""
    changed = args.steps != 20_000 or args.seeds != 5 or args.methods != ",".join(STRATEGIES)
    flags = ["--methods", args.methods, "--seeds", str(args.seeds), "--steps", str(args.steps)]
    command = shlex.join(["python", "benchmarks/continual.py", *(flags if changed else [])])
    lines = [
        f"# {len(TASKS)} tasks, one after the other\n",
        f"`{command}`: {', '.join(TASKS)}, {args.steps:,} steps on each, {args.seeds} seeds. "
        "Normalized scores: 0 is random, 1 the reference. Means over seeds with 95% t intervals; "
        "n = 5 says little about small differences.\n",
        "| method | final score | forgetting | less forgetting than finetune (paired) "
        "| forward transfer (AUC) | zero-shot gain before learning |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_row(method, runs) for method in runs),
        "\nForgetting: score lost on each task but the last since it was learnt, averaged. Forward "
        "transfer: (AUC - AUC from scratch) / (1 - AUC from scratch), averaged over the tasks but "
        "the first, each AUC that of the same seed. PackNet, progressive columns and scratch keep "
        "an agent for each task, so they forget nothing by construction; they need to be told the "
        "task.\n",
        f"{_played_again(args.steps)}\n",
    ]
    for method, some in runs.items():
        lines += [f"## {method}\n", *_matrix(some), ""]
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    return "\n".join([*lines, f"{platform.machine()}, {os.cpu_count()} cores; {packages}\n"])


def _played_again(steps: int) -> str:
    """What methods take besides the steps on the tasks."""
    later = len(TASKS) - 1
    replay, ewc = Cloning().states, EWC().states
    return (
        "No method stores states of earlier tasks. `replay` and `ewc` let the last agent play all "
        f"of them again before each later task, to collect {replay:,} and {ewc:,} states in equal "
        f"shares; `distill` lets the student play all tasks so far, for {int(steps * SHARE):,} "
        f"steps. In all, this is {later * replay:,}, {later * ewc:,} and "
        f"{later * int(steps * SHARE):,} steps on top of the {len(TASKS) * steps:,} of training, "
        "up to rounding."
    )


def _row(method: str, runs: Mapping[str, Sequence[ContinualRun]]) -> str:
    some = runs[method]
    forgetting = np.array([run.forgetting.mean() for run in some])
    cells = [method, _mean([run.final for run in some]), _mean(forgetting)]
    plain = [run.forgetting.mean() for run in runs.get("finetune", ())]
    cells.append(_mean(np.array(plain) - forgetting) if plain and method != "finetune" else "-")
    pairs = zip(some, runs.get("scratch", ()), strict=False)
    forward = [float(np.nanmean(run.forward_transfer(base)[1:])) for run, base in pairs]
    cells.append(_mean(forward) if forward and method != "scratch" else "-")
    cells.append(_mean([float(run.zero_shot.mean()) for run in some]))
    return f"| {' | '.join(cells)} |"


def _mean(values: Any) -> str:
    mean = metrics.crossed_mean(np.asarray(values, dtype=float))
    if len(values) < 2:
        return f"{mean.value:+.2f}"
    low, high = mean.interval()
    return f"{mean.value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _matrix(some: Sequence[ContinualRun]) -> list[str]:
    """Mean scores: one row for each task that was learnt, one column for each task."""
    names = [task.rpartition("/")[2] for task in TASKS]
    mean = np.mean([run.scores for run in some], axis=0)
    lines = [f"| after | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for label, row in zip(["nothing", *names], mean, strict=True):
        lines.append(f"| {label} | {' | '.join(f'{value:.2f}' for value in row)} |")
    return lines


def scores(runs: Mapping[str, Sequence[ContinualRun]]) -> bytes:
    """Every score as CSV."""
    rows: list[Sequence[object]] = [("method", "seed", "learnt", "task", "score", "area")]
    for method, some in runs.items():
        for run in some:
            for i, row in enumerate(run.scores):
                for j, score in enumerate(row):
                    area = f"{run.areas[j]:.6g}" if i == j + 1 else ""
                    rows.append((method, run.seed, i, TASKS[j], f"{score:.6g}", area))
    return csv_of(rows)


if __name__ == "__main__":
    sys.exit(main())
