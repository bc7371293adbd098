"""Whether the similarity of two tasks says what a transfer between them will gain.

    python benchmarks/similarity.py --jobs 2          # all of it: an hour on two cores
    python benchmarks/similarity.py --smoke           # two pairs in tiny: half a minute

Measures the similarity of source and target in every way that rltransfer knows, on 17 pairs of the
families CartPole, Acrobot, MountainCarContinuous and Pendulum; trains with several recipes and from
scratch; and correlates the ranks of the pairs by the one and by the other. It also compares what
the selectors of a recipe, auto, zero_shot and similarity, choose and gain.

Runs go to --runs and similarities to --runs/measures, where finished ones are reused when the
command is repeated. OUT/similarity.md tells what was found, OUT/pairs.csv and OUT/correlations.csv
hold the numbers. Source checkpoints besides the zoo's are those of benchmarks/study.py.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from processor import processor
from similarity_parts import page, settings
from similarity_parts.choices import contests, difference
from similarity_parts.correlations import adjusted, correlations
from similarity_parts.measuring import Wanted, measure_all
from study import BUDGETS, checkpoints
from study import OUT as STUDY

from rltransfer.agents import Agent
from rltransfer.agents.files import atomic_write
from rltransfer.cli.progress import watching
from rltransfer.errors import TransferError
from rltransfer.experiments import Gain, folders
from rltransfer.experiments.benchmark import Case, benchmark, size_of
from rltransfer.experiments.measuring import source_of
from rltransfer.pretrain import versions
from rltransfer.registry import pair, task
from rltransfer.report import Row
from rltransfer.training.threads import cores

OUT = Path(__file__).parent / "results" / "similarity"
RUNS = Path("runs/similarity")


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else [*argv]
    args = _parser().parse_args(given)
    torch.set_num_threads(1)
    try:
        return run(args, shlex.join(["python", "benchmarks/similarity.py", *given]))
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", help="names, with commas (default: all 17)")
    parser.add_argument("--seeds", type=int, default=5, help="paired seeds (default 5)")
    parser.add_argument("--checkpoints", type=int, default=1, help="of each source (default 1)")
    parser.add_argument("--jobs", type=int, default=cores(), help="runs at a time")
    parser.add_argument("--runs", type=Path, help=f"folder of runs (default: {RUNS})")
    parser.add_argument("--out", type=Path, help=f"folder of results (default: {OUT.name})")
    parser.add_argument("--sources", type=Path, default=STUDY / "sources")
    parser.add_argument("--smoke", action="store_true", help="two pairs, in tiny, into new folders")
    return parser


def run(args: argparse.Namespace, command: str) -> int:
    """Run what is missing, and write the page."""
    needed = args.smoke and not (args.runs and args.out)
    fallback = Path(tempfile.mkdtemp(prefix="similarity-")) if needed else None
    runs: Path = args.runs or (fallback / "runs" if fallback else RUNS)
    out: Path = args.out or fallback or OUT
    names = args.pairs.split(",") if args.pairs else list(_pairs(args.smoke))
    seeds = min(args.seeds, 2) if args.smoke else args.seeds
    for folder in (runs, out):
        folders.check_writable(folder)
    cases = [_case(name, args) for name in names]
    wanted = [one for case in cases for one in _wanted(case, args.smoke)]
    measures = measure_all(wanted, runs / "measures", args.jobs)
    trained = _train(cases, range(seeds), runs, args, command)
    write(out, trained, measures, (seeds, args.checkpoints, _measure_seeds(args.smoke)), command)
    print(f"written to {out}")
    return 0


def _pairs(smoke: bool) -> Sequence[str]:
    return settings.SMOKE_PAIRS if smoke else settings.PAIRS


def _measure_seeds(smoke: bool) -> int:
    return 1 if smoke else settings.MEASURE_SEEDS


def _case(name: str, args: argparse.Namespace) -> Case:
    found = pair(name)
    steps = settings.SMOKE_STEPS if args.smoke else BUDGETS.get(name, found.steps)
    sources: list[Agent] = checkpoints(source_of(found), args.checkpoints, args.sources)
    return Case(label=name, source=sources, target=found.target, steps=steps, expect=found.expect)


def _wanted(case: Case, smoke: bool) -> list[Wanted]:
    agents: Sequence[Agent] = case.source  # pyright: ignore[reportAssignmentType]
    return [
        Wanted(pair=case.label, agent=agent, target=case.target, seed=seed)
        for agent in agents
        for seed in range(_measure_seeds(smoke))
    ]


def _train(
    cases: Sequence[Case], seeds: range, runs: Path, args: argparse.Namespace, command: str
) -> list[Gain]:
    count, steps = size_of(cases, settings.ARMS, len(seeds))
    chosen = settings.SMOKE_SETTINGS if args.smoke else settings.SETTINGS
    with watching(steps, runs=count, events=runs / "events" / "_sweep") as watch:
        return benchmark(
            cases,
            settings.ARMS,
            seeds=seeds,
            out=runs,
            processes=args.jobs,
            watch=watch,
            command=command,
            **chosen,
        )


def write(
    out: Path,
    trained: Sequence[Gain],
    measures: Mapping[str, Mapping[str, float]],
    counts: tuple[int, int, int],
    command: str,
) -> None:
    """Write the page and the tables; counts are of seeds, of sources and of seeds of measures."""
    gains = {
        one.summary.label: {row.recipe: row.gain.mean for row in one.summary.rows}
        for one in trained
    }
    families = {one.summary.label: task(one.summary.target).family for one in trained}
    best = {name: max(by[arm] for arm in settings.FIXED) for name, by in gains.items()}
    targets = {
        **{arm: {name: by[arm] for name, by in gains.items()} for arm in settings.FIXED},
        "best": best,
        settings.FINAL: {
            one.summary.label: _row(one, "full").asymptote_gain.mean for one in trained
        },
    }
    found = adjusted(
        {name: correlations(measures, some, families, name) for name, some in targets.items()}
    )
    folders.create(out)
    atomic_write(out / "pairs.csv", page.pairs_csv(measures, gains))
    atomic_write(out / "correlations.csv", page.correlations_csv(found))
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = page.page(
        command=command,
        machine=f"{platform.machine()}, {processor()}, {os.cpu_count()} cores; {packages}",
        seeds=counts[0],
        sources=counts[1],
        measure_seeds=counts[2],
        measures=measures,
        gains=gains,
        found=found,
        differences={(one, other): difference(gains, one, other) for one, other in contests()},
        runs=trained,
    )
    atomic_write(out / "similarity.md", text.encode())


def _row(gain: Gain, arm: str) -> Row:
    return next(row for row in gain.summary.rows if row.recipe == arm)


if __name__ == "__main__":
    sys.exit(main())
