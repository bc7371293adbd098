"""The strategy table: every strategy on near, far, negative, sensor-shift, action and reward pairs.

    python benchmarks/strategies.py                          # the table, with controls
    python benchmarks/strategies.py --pairs held-out         # pairs that nothing was chosen on
    python benchmarks/strategies.py --pairs cartpole-far --strategies full,kickstart --seeds 3

Every strategy is a recipe that ``rltransfer ls recipes`` lists. Seed i starts from source
checkpoint i modulo 3, so that no table speaks of a single source. Runs go to --runs, where finished
ones are reused when the command is repeated; table, rows and curves go to --out.
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
from strategy_parts.pairs import BUDGET, DEVELOPMENT, HELD_OUT, setup
from strategy_parts.running import CONTROLS, Result, run
from strategy_parts.table import markdown, rows

from rltransfer.agents.files import atomic_write
from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.presets import PRESETS, recipe
from rltransfer.pretrain import versions
from rltransfer.recipe import Recipe
from rltransfer.report import SCRATCH
from rltransfer.training.threads import cores

SETS: Mapping[str, Sequence[str]] = {"development": tuple(DEVELOPMENT), "held-out": tuple(HELD_OUT)}
HERE = Path(__file__).parent
OUT = HERE / "results" / "strategies"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", default="development", help=f"{', '.join(SETS)}, or names")
    parser.add_argument("--strategies", help="names of recipes, with commas (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="paired seeds (default 5)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--no-controls", action="store_true", help="leave out the control arms")
    parser.add_argument("--jobs", type=int, default=cores(), help="runs at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        return compare(args)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def compare(args: argparse.Namespace) -> int:
    """Run what is missing, pair by pair, and write the table."""
    names = SETS.get(args.pairs) or args.pairs.split(",")
    listed = args.strategies.split(",") if args.strategies else [n for n in PRESETS if n != SCRATCH]
    strategies = {name: recipe(name) for name in listed}
    out = args.out or (OUT / args.pairs if args.pairs in SETS else Path(args.runs) / "tables")
    folders.check_writable(args.runs)
    folders.create(out)
    results: list[Result] = []
    for name in names:
        print(f"{name}: {len(strategies)} strategies, {args.seeds} seeds", flush=True)
        results.append(
            run(
                setup(name),
                strategies,
                seeds=range(args.first_seed, args.first_seed + args.seeds),
                controls=not args.no_controls,
                runs=args.runs,
                jobs=args.jobs,
            )
        )
        _write(out, results, strategies, args)
    print((out / "table.md").read_text())
    return 0


def _write(
    out: Path, results: Sequence[Result], strategies: Mapping[str, Recipe], args: argparse.Namespace
) -> None:
    flags = ["--pairs", args.pairs, "--seeds", str(args.seeds)]
    flags += ["--first-seed", str(args.first_seed)] if args.first_seed else []
    flags += ["--strategies", args.strategies] if args.strategies else []
    flags += ["--no-controls"] if args.no_controls else []
    flags += ["--out", str(args.out)] if args.out else []
    command = shlex.join(["python", "benchmarks/strategies.py", *flags])
    few = " (5 seeds can show no more than *likely*)" if args.seeds <= 5 else ""
    arms = [*strategies, *([] if args.no_controls else CONTROLS)]
    parts = [
        f"# Strategies on {len(results)} pairs\n",
        f"`{command}`: {BUDGET:,} steps on each target, {args.seeds} seeds, each from the next of "
        "3 source checkpoints. Paired gain in the area under the normalized learning curve over "
        f"scratch, with its 95% interval; *likely* and **clear** differences are marked{few}, and "
        "counted together under helped/hurt. The interval behind a mean gain speaks of other seeds "
        "on these pairs; that of the next column, of other pairs like these.\n",
        "## Strategies\n",
        markdown(results, list(strategies)),
    ]
    if not args.no_controls:
        parts += ["\n## Controls\n", markdown(results, CONTROLS)]
    parts += ["\n## Where strategies do not apply\n", *_refusals(results)]
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    parts.append(f"\n{platform.machine()}, {os.cpu_count()} cores; {packages}\n")
    atomic_write(out / "table.md", "\n".join(parts).encode())
    atomic_write(out / "rows.csv", rows(results, arms).encode())


def _refusals(results: Sequence[Result]) -> list[str]:
    return [
        f"- {name} on {result.setup.pair.name}: {why}"
        for result in results
        for name, why in result.refused.items()
    ] or ["Every strategy applies to every pair."]


if __name__ == "__main__":
    sys.exit(main())
