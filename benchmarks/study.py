"""The study behind README's figures: pairs x recipes x source checkpoints x seeds, with controls.

    python benchmarks/study.py                         # all of it: hours on two cores
    python benchmarks/study.py --pairs cartpole-long --seeds 3 --out /tmp/a-part-of-it

Runs go to --runs, where finished ones are reused when the command is repeated; the report, the
tables and the curves go to --out. The first source checkpoint of each family is the zoo's; the
others were trained in the same way with other seeds, and are kept in --sources.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from rltransfer.agents import Agent, load
from rltransfer.agents.files import atomic_write
from rltransfer.cli.progress import watching
from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.experiments.benchmark import Case, benchmark, size_of
from rltransfer.experiments.controls import CONTROLS
from rltransfer.experiments.measuring import source_of
from rltransfer.experiments.planning import SCRATCH
from rltransfer.experiments.writing import curves, write_report
from rltransfer.presets import recipe
from rltransfer.recipe import Recipe
from rltransfer.registry import pair
from rltransfer.training.threads import cores
from rltransfer_zoo import train as zoo

PAIRS = (
    "cartpole-long",
    "cartpole-far",
    "cartpole-slow-control",
    "cartpole-swapped",
    "cartpole-permuted",
    "acrobot-heavy",
    "acrobot-weak",
    "acrobot-flipped",
    "mountaincar-continuous-weak",
    "mountaincar-continuous-flipped",
    "pendulum-strong-gravity",
    "pendulum-flipped",
)
CONTROLLED = (
    "cartpole-long",
    "cartpole-slow-control",
    "acrobot-heavy",
    "mountaincar-continuous-weak",
)
RECIPES = (SCRATCH, "full", "head", "gradual", "by-zero-shot")
UNRELATED = {
    "cartpole": "acrobot",
    "acrobot": "cartpole",
    "mountaincar-continuous": "pendulum",
    "pendulum": "mountaincar-continuous",
}
"""Whose trunk each source gets in the control of that name."""
BUDGETS = {"pendulum-strong-gravity": 30_000, "pendulum-flipped": 30_000}
"""Budgets other than the pair's own: a step of these costs four times the others'."""
SETTINGS = {"points": 10, "episodes": 20, "device": "cpu"}
HERE = Path(__file__).parent
OUT = HERE / "results" / "study"


def checkpoints(name: str, count: int, folder: Path) -> list[Agent]:
    """Source checkpoints of a zoo agent: the zoo's own, and others with seeds 1, 2, ...

    Those that are not in the folder are trained.
    """
    agents = [load(name)]
    for seed in range(1, count):
        path = folder / f"{name}-seed{seed}"
        if not path.with_suffix(".json").exists():
            folders.create(folder)
            zoo.train(name, folder, seed=seed, store_as=path.name)
        agents.append(load(path))
    return agents


def case(name: str, sources: Sequence[Agent], recipes: Mapping[str, Recipe]) -> Case:
    """What is compared on one pair: controls where a pair is listed in CONTROLLED."""
    found = pair(name)
    controlled = name in CONTROLLED
    return Case(
        label=name,
        source=sources,
        target=found.target,
        steps=BUDGETS.get(name, found.steps),
        expect=found.expect,
        controls=tuple(CONTROLS) if controlled else (),
        unrelated=UNRELATED[found.agent or ""] if controlled else None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", default=",".join(PAIRS), help="names, with commas")
    parser.add_argument("--recipes", default=",".join(RECIPES[1:]), help="names, with commas")
    parser.add_argument("--seeds", type=int, default=10, help="paired seeds (default 10)")
    words = "of each source (default: 3 where controls are run, 2 elsewhere)"
    parser.add_argument("--checkpoints", type=int, help=words)
    parser.add_argument("--jobs", type=int, default=cores(), help="runs at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--sources", type=Path, default=OUT / "sources")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        return run(args)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    """Run what is missing, and write the report."""
    names = args.pairs.split(",")
    counts = {name: args.checkpoints or (3 if name in CONTROLLED else 2) for name in names}
    agents = {name: source_of(pair(name)) for name in names}
    sources = {name: checkpoints(agents[name], counts[name], args.sources) for name in names}
    recipes = {name: recipe(name) for name in dict.fromkeys([SCRATCH, *args.recipes.split(",")])}
    cases = [case(name, sources[name], recipes) for name in names]
    command = shlex.join(["python", "benchmarks/study.py", *sys.argv[1:]])
    for folder in (args.runs, args.out):
        folders.check_writable(folder)
    runs, steps = size_of(cases, recipes, args.seeds)
    with watching(steps, runs=runs, events=args.runs / "events" / "_sweep") as watch:
        gains = benchmark(
            cases,
            recipes,
            seeds=range(args.seeds),
            out=args.runs,
            processes=args.jobs,
            watch=watch,
            command=command,
            **SETTINGS,
        )
    devices = ", ".join(sorted({run.device for gain in gains for run in gain.runs}))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, trained on {devices}"
    details = {"machine": machine, "learning curves": "curves/<pair>.csv"}
    write_report(gains, args.out, command=command, title="What transfer gained", details=details)
    folders.create(args.out / "curves")
    for gain in gains:
        atomic_write(args.out / "curves" / f"{gain.summary.label}.csv", curves([gain]))
    print("\n\n".join(str(gain) for gain in gains))
    return 0


if __name__ == "__main__":
    sys.exit(main())
