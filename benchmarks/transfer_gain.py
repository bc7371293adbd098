"""What transfer gains over training from scratch: any pairs x recipes x seeds.

    python benchmarks/transfer_gain.py                      # the pairs, recipes and seeds below
    python benchmarks/transfer_gain.py --pairs cartpole-long --recipes full,auto --seeds 10

Runs go to --runs, where finished ones are reused when the command is given again. The curves, the
table, the plots and the report go to --out; the committed ones are in benchmarks/results.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from rltransfer.agents.files import atomic_write
from rltransfer.cli.progress import watching
from rltransfer.errors import TransferError
from rltransfer.experiments import Gain, folders
from rltransfer.experiments.benchmark import benchmark, case_of, write
from rltransfer.recipe import recipe
from rltransfer.report import Row

PAIRS = (
    "cartpole-slow-control",
    "cartpole-long",
    "cartpole-swapped",
    "pendulum-strong-gravity",
    "pendulum-flipped",
    "acrobot-heavy",
    "acrobot-flipped",
    "mountaincar-continuous-weak",
    "mountaincar-continuous-flipped",
)
RECIPES = ("full", "head", "gradual", "auto")
HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", default=",".join(PAIRS), help="names, with commas")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="names, with commas")
    parser.add_argument("--seeds", type=int, default=5, help="number of paired seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="budget (default: each pair's own)")
    parser.add_argument("--points", type=int, default=10, help="evaluations after the first")
    parser.add_argument("--episodes", type=int, default=20, help="episodes of each evaluation")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--runs", type=Path, default=Path("runs/transfer_gain"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "transfer_gain")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        return run(args)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    """Run what is missing, and write the results."""
    cases = [case_of(name, steps=args.steps) for name in args.pairs.split(",")]
    names = dict.fromkeys(["scratch", *args.recipes.split(",")])
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    command = shlex.join(["python", "benchmarks/transfer_gain.py", *sys.argv[1:]])
    for folder in (args.runs, args.out):
        folders.check_writable(folder)
    with watching(len(seeds) * len(names) * sum(case.steps for case in cases)) as watch:
        gains = benchmark(
            cases,
            {name: recipe(name) for name in names},
            seeds=seeds,
            out=args.runs,
            processes=args.jobs,
            watch=watch,
            command=command,
            points=args.points,
            episodes=args.episodes,
            device=args.device,
        )
    write(gains, args.out, command=command)
    devices = sorted({run.device for gain in gains for run in gain.runs})
    machine = f"{platform.machine()}, {os.cpu_count()} cores, trained on {', '.join(devices)}"
    note = f"Made by `{command}` on {machine}.\n\n"
    table = args.out / "gains.md"
    atomic_write(table, note.encode() + table.read_bytes())
    atomic_write(args.out / "overview.md", (note + overview(gains)).encode())
    print("\n\n".join(str(gain) for gain in gains))
    return 0


def overview(gains: Sequence[Gain]) -> str:
    """One line a pair: AUC of scratch, and each recipe's gain over it with its 95 % interval."""
    names = [row.recipe for row in gains[0].summary.transferred]
    lines = [["pair", "scratch", *names], ["---"] * (2 + len(names))]
    for gain in gains:
        summary = gain.summary
        control = " (control)" if summary.expect == "hurt" else ""
        cells = [_cell(summary[name]) for name in names]
        lines.append([f"{summary.label}{control}", f"{summary['scratch'].auc:.2f}", *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(row: Row) -> str:
    mean, low, high = row.gain
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}] {row.verdict}"


if __name__ == "__main__":
    sys.exit(main())
