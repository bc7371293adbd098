"""How many environment steps a second PPO trains on, against Stable-Baselines3 and others.

    python benchmarks/throughput.py --sbx-python ~/sbx/bin/python      # every workload; hours
    python benchmarks/throughput.py --workload cartpole-8x128,pendulum-8x128 --rounds 20
    python benchmarks/throughput.py --quick                            # a minute, to try it

Each implementation trains in a process of its own, all on the same core with one thread. After a
warm-up, which compiles what is compiled, they are asked in turn, in another order in each round,
to train for about as many seconds as --seconds says while the others sleep: what else the machine
does falls on all of them alike. Results go to --out, one JSON file a workload, and a page of all
that are there. Where an iteration takes longer, as with ResNet-18 (a minute or two for SB3 on one
core), --rounds 5 will do. The machine should do nothing else: a process that has slept gets the
core first, which flatters whoever needs less than --seconds.

SBX needs an interpreter of its own if it wants other packages than rltransfer does; that
interpreter needs gymnasium's extras for the workload, and rltransfer's dependencies for DoorKey.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from processor import processor
from throughput_workers import tables
from throughput_workers.pool import Report, Setup, Worker, WorkerError, workers
from throughput_workers.summary import summarize
from throughput_workers.workloads import CEILINGS, IMPLEMENTATIONS, WORKLOADS, Workload

from rltransfer.agents.files import atomic_write
from rltransfer.errors import TransferError
from rltransfer.experiments import folders

HERE = Path(__file__).parent
MOST_ITERATIONS = 1000


def main() -> int:
    parser = _parser()
    args = parser.parse_args()
    if args.quick:
        args.workload = args.workload or "cartpole-8x128"
        args.rounds = 3 if args.rounds is None else args.rounds
        args.seconds = 0.2 if args.seconds is None else args.seconds
        args.out = args.out or Path("runs/throughput")
    args.rounds = 15 if args.rounds is None else args.rounds
    args.seconds = 1.0 if args.seconds is None else args.seconds
    args.out = args.out or HERE / "results" / "throughput"
    names = _chosen(parser, args.workload, WORKLOADS)
    chosen = _chosen(parser, args.implementations, IMPLEMENTATIONS)
    if args.rounds < 2:
        parser.error(f"--rounds {args.rounds}: expected at least 2")
    if args.seconds <= 0:
        parser.error(f"--seconds {args.seconds}: expected more than 0")
    cores = os.cpu_count() or 1
    if not 1 <= args.threads <= cores:
        parser.error(f"--threads {args.threads}: expected 1 to {cores}, the cores that there are")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device")
    cores = tuple(_cores()[-args.threads :])
    setup = Setup(device=args.device, cores=cores, warm_up=args.warm_up, sbx_python=args.sbx_python)
    try:
        folders.check_writable(args.out)
        args.out.mkdir(parents=True, exist_ok=True)
        results = [run(name, chosen, setup, args) for name in names]
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    said = [facts for result in results for facts in result["implementations"].values()]
    return 1 if any("failed" in facts for facts in said) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", help=f"names, with commas: {', '.join(WORKLOADS)}")
    parser.add_argument(
        "--implementations", help=f"names, with commas: {', '.join(IMPLEMENTATIONS)}"
    )
    parser.add_argument("--rounds", type=int, help="requests to each that are timed (default 15)")
    parser.add_argument("--seconds", type=float, help="about how long each takes (default 1)")
    parser.add_argument("--warm-up", type=int, default=2, help="iterations before the first round")
    parser.add_argument("--threads", type=int, default=1, help="threads, and cores to pin them to")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sbx-python", type=Path, help="interpreter that has sbx-rl")
    parser.add_argument(
        "--quick", action="store_true", help="one workload, by default 3 rounds of 0.2 s"
    )
    parser.add_argument("--out", type=Path, help="folder (default: benchmarks/results/throughput)")
    return parser


def _chosen(
    parser: argparse.ArgumentParser, names: str | None, known: Mapping[str, Any]
) -> list[str]:
    chosen = names.split(",") if names else list(known)
    for name in chosen:
        if name not in known:
            parser.error(f"{name!r} does not exist: choose from {', '.join(known)}")
    return chosen


def run(name: str, chosen: list[str], setup: Setup, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one workload, print its table, and write it."""
    workload = WORKLOADS[name]
    names = [name for name in workload.implementations if name in chosen]
    with workers(name, names, setup) as (ready, facts):
        rounds = measure(ready, facts, args.rounds, args.seconds)
    ceilings = {name: ceiling(workload, name) for name in rounds}
    result = {
        "workload": name,
        "title": workload.title,
        "command": shlex.join(["python", "benchmarks/throughput.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "threads": args.threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {processor()}",
        "rows": summarize(rounds, workload.steps, ceilings),
        "implementations": facts,
        "measured": rounds,
    }
    print(tables.section(result), flush=True)
    path = args.out / f"{args.device}-{name}.json"
    atomic_write(path, (json.dumps(result, indent=1) + "\n").encode())
    atomic_write(args.out / f"{args.device}.md", tables.document(written(args)).encode())
    return result


def measure(
    ready: Mapping[str, Worker], facts: dict[str, Report], rounds: int, seconds: float
) -> dict[str, list[Report]]:
    """Ask every worker once a round, in another order each time.

    Args:
        ready: Workers by implementation.
        facts: What they said of themselves; a worker that fails is noted here.
        rounds: Number of rounds.
        seconds: About how long a request should take.

    Returns:
        Reports of those that answered every time, one a round.
    """
    reports: dict[str, list[Report]] = {name: [] for name in ready}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(reports), len(reports)):
            iterations = round(seconds / facts[name]["seconds"])
            try:
                report = ready[name].train(min(max(iterations, 1), MOST_ITERATIONS))
            except WorkerError as error:
                facts[name] = {"failed": str(error)}
                del reports[name]
            else:
                reports[name].append(report)
    return reports


def ceiling(workload: Workload, implementation: str) -> str:
    """Name what steps the same environments without learning; empty if nothing does."""
    if "env-sb3" not in workload.implementations:
        return "env"
    return CEILINGS.get(IMPLEMENTATIONS[implementation].vec, "")


def written(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Results of this device that the folder holds, in the order of the workloads."""
    paths = [args.out / f"{args.device}-{name}.json" for name in WORKLOADS]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


if __name__ == "__main__":
    sys.exit(main())
