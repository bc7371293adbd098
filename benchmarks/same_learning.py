"""Whether TransferPPO learns as Stable-Baselines3's PPO does: curves, areas, equivalence.

    python benchmarks/same_learning.py --jobs 2                       # 5 tasks x 10 seeds x 2
    python benchmarks/same_learning.py --tasks CartPole-v1 --seeds 3 --out runs/same

Both train on the same seeds with the same hyperparameters, each on its own environments
(``make_vec_env``; ``fresh``). A learning curve is the mean return of the training episodes that
ended in each of 20 equal parts of the budget. It is put on a scale from 0, random actions, to 1,
the task's reference, and its mean is the area under the curve. Runs go to --runs, one file each,
and finished ones are reused when the command is given again; after a change of the code, name
another folder.

What counts as the same was fixed before the seeds 0 to 9 were run; budgets and hyperparameters were
chosen on seeds from 1000 on. Equivalence is shown where the 90 % interval of the paired differences
of areas lies within the margin (two one-sided t-tests at 5 %, Schuirmann 1987):

- 0.05 for the mean over the tasks. A twentieth of the way from random actions to the reference is
  less than another seed changes, and less than the choice of a hyperparameter does.
- 0.10 for each task alone, where 10 seeds cannot resolve more: pairs of runs part as soon as
  rounding turns one action into another, and differ from then on like runs of two seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from same_learning_results import IMPLEMENTATIONS, MARGIN, TASK_MARGIN, document, summarize

from rltransfer.agents.files import atomic_write
from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.pretrain import versions

PUBLISHED = Path(__file__).parent / "results" / "same_learning"
Settings = dict[str, Any]
Run = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained on a task.

    Attributes:
        steps: Budget in environment steps.
        random: Mean return of random actions, 0 of the scale.
        reference: Return that is 1 on the scale.
        n_envs: Environments.
        normalize: Whether observations and rewards are normalized by running statistics.
        hyperparameters: Arguments of PPO; SB3's defaults otherwise.
    """

    steps: int
    random: float
    reference: float
    n_envs: int = 8
    normalize: bool = False
    hyperparameters: dict[str, Any] = field(default_factory=dict)


_SHORT = {"n_steps": 128, "batch_size": 256}
#: Discrete and continuous actions, vectors and one-hot observations, dense and rare rewards, noise.
#: Random and reference scores are those of ``rltransfer ls tasks``; HalfCheetah has no reference,
#: and its 1 is more than twice what SB3 gains within the budget.
TASKS = {
    "CartPole-v1": Task(steps=60_000, random=23.68, reference=500.0, hyperparameters=_SHORT),
    "Acrobot-v1": Task(
        steps=60_000,
        random=-497.1,
        reference=-73.08,
        n_envs=16,
        normalize=True,
        hyperparameters={**_SHORT, "learning_rate": 1e-3, "gae_lambda": 0.94},
    ),
    "Pendulum-v1": Task(
        steps=100_000,
        random=-1208.0,
        reference=-168.0,
        hyperparameters={**_SHORT, "learning_rate": 1e-3, "gamma": 0.9},
    ),
    "FrozenLake-v1": Task(
        steps=120_000,
        random=0.01,
        reference=0.8,
        n_envs=16,
        hyperparameters={**_SHORT, "learning_rate": 1e-3, "ent_coef": 0.01},
    ),
    "HalfCheetah-v5": Task(
        steps=150_000,
        random=-282.5,
        reference=1500.0,
        normalize=True,
        hyperparameters=_SHORT,
    ),
}


def main() -> int:
    parser = _parser()
    args = parser.parse_args()
    names = args.tasks.split(",")
    for name in names:
        if name not in TASKS:
            parser.error(f"{name!r} does not exist: choose from {', '.join(TASKS)}")
    if args.seeds < 2:
        parser.error(f"--seeds {args.seeds}: expected at least 2")
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs}: expected at least 1")
    try:
        args.out = args.out or (PUBLISHED if _whole(parser, args) else args.runs)
        for folder in (args.runs, args.out):
            folders.check_writable(folder)
            folder.mkdir(parents=True, exist_ok=True)
        write(run_all({name: asdict(TASKS[name]) for name in names}, args), args)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, with commas")
    parser.add_argument("--seeds", type=int, default=10, help="number of paired seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="the others follow it")
    parser.add_argument("--steps", type=int, help="budget (default: each task's own)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    words = "folder of the finished runs (default: runs/same_learning)"
    parser.add_argument("--runs", type=Path, default=Path("runs/same_learning"), help=words)
    words = "folder of the tables (default: benchmarks/results/same_learning; of a part: --runs)"
    parser.add_argument("--out", type=Path, help=words)
    return parser


def _whole(parser: argparse.ArgumentParser, args: argparse.Namespace) -> bool:
    """Whether this is the whole benchmark, and no part of it."""
    return all(
        getattr(args, name) == parser.get_default(name)
        for name in ("tasks", "seeds", "first_seed", "steps")
    )


def run_all(tasks: dict[str, Settings], args: argparse.Namespace) -> list[Run]:
    """Run what is not there yet, several at a time, and return all runs."""
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    cases = [
        (task, {**settings, "steps": args.steps or settings["steps"]}, name, seed)
        for task, settings in tasks.items()
        for seed in seeds
        for name in IMPLEMENTATIONS
    ]
    # Small networks; and processes that share cores must not each want all of them.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    # Spawned, since torch's threads do not survive a fork.
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run_once, *case, args.runs) for case in cases]
        for done, future in enumerate(as_completed(futures), 1):
            run = future.result()
            print(f"{done}/{len(cases)} {run['task']} {run['implementation']} seed {run['seed']}")
    return [future.result() for future in futures]


def run_once(task: str, settings: Settings, implementation: str, seed: int, runs: Path) -> Run:
    """Read the run if it is there with the same settings, or train."""
    path = runs / f"{task}-{implementation}-seed{seed}.json"
    wanted = {"task": task, "implementation": implementation, "seed": seed, "settings": settings}
    if path.exists():
        found = json.loads(path.read_text())
        if {key: found[key] for key in wanted} == wanted:
            return found
    run = {**wanted, "versions": versions(), **train(task, settings, implementation, seed)}
    atomic_write(path, json.dumps(run).encode())
    return run


def train(task: str, settings: Settings, implementation: str, seed: int) -> Run:
    """Train once.

    Returns:
        Under ``"episodes"``: [environment steps, return] of each training episode, where the steps
        are those at the end of its rollout; and what the engine says it did.
    """
    import torch

    torch.set_num_threads(1)
    model = build(task, settings, implementation, seed)
    episodes = record(model, settings["steps"])
    report = getattr(model, "engine_report", None)
    engine = report() if report else None
    model.get_env().close()
    return {"episodes": episodes, "engine": engine}


def build(task: str, settings: Settings, implementation: str, seed: int) -> Any:
    """Build an untrained model, as users of each implementation do."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    from rltransfer.pretrain import fresh

    arguments = {**settings["hyperparameters"], "seed": seed, "device": "cpu"}
    normalize, n_envs = settings["normalize"], settings["n_envs"]
    if implementation == "ours":
        return fresh(
            task,
            n_envs=n_envs,
            normalize_obs=normalize,
            normalize_reward=normalize,
            **arguments,
        )
    venv = make_vec_env(task, n_envs, seed=seed)
    if normalize:
        venv = VecNormalize(venv, gamma=arguments.get("gamma", 0.99))
    return PPO("MlpPolicy", venv, **arguments)


def record(model: Any, steps: int) -> list[tuple[int, float]]:
    """Learn for so many steps, and record when episodes ended and with which return."""
    episodes: list[tuple[int, float]] = []
    train = model.train
    # SB3 keeps the last 100 episodes otherwise, but a rollout can end more.
    model._stats_window_size = steps

    def record_and_train() -> None:
        new = list(model.ep_info_buffer)[len(episodes) :]
        episodes.extend((model.num_timesteps, float(info["r"])) for info in new)
        train()

    # No callback: the engine shows values to those it does not know, at a cost.
    model.train = record_and_train
    model.learn(steps)
    return episodes


def write(runs: Sequence[Run], args: argparse.Namespace) -> None:
    """Write the summary as JSON and as tables, and print the tables."""
    command = shlex.join(["python", "benchmarks/same_learning.py", *sys.argv[1:]])
    summary = {"command": command, "margin": MARGIN, "task_margin": TASK_MARGIN, **summarize(runs)}
    text = document(summary)
    content = json.dumps(summary, indent=1) + "\n"
    atomic_write(args.out / "same_learning.json", content.encode())
    atomic_write(args.out / "same_learning.md", text.encode())
    print(text)


if __name__ == "__main__":
    sys.exit(main())
