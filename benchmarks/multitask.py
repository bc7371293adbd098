"""What learning many tasks in one model costs and gains: scores, transfer, and speed.

    python benchmarks/multitask.py --part all --seeds 5 --jobs 2      # hours on two cores
    python benchmarks/multitask.py --smoke                            # all of it in tiny: a minute

Parts:
  a      four classic tasks in one model, against one model for each at equal steps
  b      the shared layers of three MiniGrid rooms carried over to five (after MOORE)
  c      a source that learned a family of CartPoles, against sources that learned one each
  d      a task added to a trained trunk: frozen, slow, or training; what the old tasks lose
  speed  steps a second of one model of four tasks, against one model for each

Each run is one file in OUT/runs. A run that is there with the same settings is not repeated, so the
command can be killed and given again; one that fails is named, and the others go on. Then
OUT/multitask.md, and a table of all numbers and a figure for each part, are written; parts that
this command does not run are in them with the runs that are there. Agents that other runs begin
with are kept in OUT/agents, out of git.
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
from typing import Any

from multitask_parts import classic4, family, figures, retention, rooms, rows, settings, speed
from multitask_parts.jobs import Job, Result
from multitask_parts.pool import Finished, kept, run_all
from processor import processor

from rltransfer.agents.files import atomic_write
from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.pretrain import versions

OUT = Path(__file__).parent / "results" / "multitask"
#: Letter on the command line, and the module of the part.
PARTS = {"a": classic4, "b": rooms, "c": family, "d": retention, "speed": speed}
SMOKE_SEEDS = 2


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else [*argv]
    parser = _parser()
    args = parser.parse_args(given)
    if args.seeds < 1 or args.jobs < 1:
        parser.error("--seeds and --jobs: expected at least 1")
    names = [*PARTS] if args.part == "all" else [args.part]
    command = shlex.join(["python", "benchmarks/multitask.py", *given])
    try:
        chosen = settings.settings(
            smoke=args.smoke, steps_per_task=args.steps_per_task, changes=args.set
        )
        _change_rooms(chosen["minigrid-transfer"]["policy"], args.trunk, args.encoder)
        return _run(args, names, chosen, command)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="the others follow it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    words = "folder of the results (default: benchmarks/results/multitask; tiny: a new one)"
    parser.add_argument("--out", type=Path, help=words)
    parser.add_argument("--steps-per-task", type=int, metavar="N", help="other than each part's")
    parser.add_argument("--smoke", action="store_true", help=f"tiny, {SMOKE_SEEDS} seeds")
    parser.add_argument("--extra", action="store_true", help="part a: PCGrad and other trunks too")
    words = "part b: mlp (default), or a mixture of orthogonal experts"
    parser.add_argument("--trunk", choices=["mlp", "moore"], default="mlp", help=words)
    words = "part b: one linear layer (auto, default), or convolutions"
    parser.add_argument("--encoder", choices=["auto", "grid"], default="auto", help=words)
    words = "another value, such as classic4.n_envs=16 (JSON); may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="PART.NAME=VALUE", help=words)
    words = "run these alone (the page then has them alone), such as multi"
    parser.add_argument("--arms", metavar="ARM,ARM", help=words)
    return parser


def _change_rooms(policy: dict[str, Any], trunk: str, encoder: str) -> None:
    if trunk != policy["trunk"]:
        policy |= {"trunk": trunk, "trunk_kwargs": {}, "conditioning": "one-hot"}
    if encoder != "auto":
        policy |= {"encoder_kind": encoder, "normalize_observations": False}


def _run(
    args: argparse.Namespace, names: Sequence[str], chosen: Mapping[str, Any], command: str
) -> int:
    out: Path = args.out or (Path(tempfile.mkdtemp(prefix="multitask-")) if args.smoke else OUT)
    folders.check_writable(out)
    folders.create(out)
    count = min(args.seeds, SMOKE_SEEDS) if args.smoke else args.seeds
    seeds = range(args.first_seed, args.first_seed + count)
    plans = _plans(chosen, seeds, extra=args.extra)
    if args.arms:
        plans = {name: _only(jobs, args.arms.split(",")) for name, jobs in plans.items()}
    finished = Finished()
    if "speed" in names:  # alone, since other runs would slow it down
        finished.add(run_all(plans["speed"], out, 1))
    others = [job for name in names if name != "speed" for job in plans[name]]
    finished.add(run_all(others, out, args.jobs))
    for name in PARTS.keys() - set(names):
        finished.add(kept(plans[name], out))
    write(out, chosen, finished, _heading(command))
    print(f"written to {out}")
    return 1 if finished.failed else 0


def _plans(chosen: Mapping[str, Any], seeds: Sequence[int], *, extra: bool) -> dict[str, list[Job]]:
    return {
        "a": classic4.plan(chosen[classic4.PART], seeds, extra=extra),
        "b": rooms.plan(chosen[rooms.PART], seeds),
        "c": family.plan(chosen[family.PART], seeds),
        "d": retention.plan(chosen[retention.PART], seeds),
        "speed": speed.plan(chosen[speed.PART], chosen[classic4.PART]),
    }


def _only(jobs: Sequence[Job], arms: Sequence[str]) -> list[Job]:
    return [job for job in jobs if job.arm in arms]


def write(out: Path, chosen: Mapping[str, Any], finished: Finished, heading: str) -> None:
    """Write the page, the rows and the figures of the parts that have results."""
    sections = [heading]
    for name, module in PARTS.items():
        part: Any = module
        found = [one for one in finished.results.values() if one["part"] == part.PART]
        if not found:
            continue
        listed: list[rows.Row] = [row for one in found for row in rows.of_run(one)]
        listed += part.rows(chosen[part.PART], found)
        atomic_write(out / f"{part.PART}.csv", rows.to_csv(listed))
        figures.draw(part.PART, chosen[part.PART], found, out / f"{part.PART}.png")
        sections.append(part.page(chosen[part.PART], found))
        sections.append(f"{_runs_of(name, found)}\n\n![{part.PART}]({part.PART}.png)\n")
    if finished.failed:
        sections.append(_failures(finished.failed))
    atomic_write(out / "multitask.md", "\n".join(sections).encode())


def _runs_of(name: str, results: Sequence[Result]) -> str:
    seeds = sorted({one["seed"] for one in results})
    hours = sum(one["seconds"] for one in results) / 3600
    listed = "" if name == "speed" else f", seeds {', '.join(map(str, seeds))}"
    return f"`--part {name}`: {len(results)} runs{listed}, {hours:.2f} hours of one core."


def _heading(command: str) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    machine = f"{platform.machine()}, {processor()}, {os.cpu_count()} cores"
    return (
        "# Many tasks in one model\n\n"
        f"Last written by `{command}`. Brackets hold 95 % intervals over seeds (Student's t; of "
        "ratios of scores a bootstrap of pairs). All hyperparameters are in "
        "`benchmarks/multitask_parts/settings.py`, every number is in the CSV file of its "
        "part.\n\n"
        f"Machine: {machine}, each run on one thread; Python {platform.python_version()}, "
        f"{packages}.\n"
    )


def _failures(failed: Mapping[str, str]) -> str:
    lines = "".join(f"- {name}: {why.splitlines()[-1]}\n" for name, why in failed.items())
    return f"## Runs that failed, and are missing above\n\n{lines}"


if __name__ == "__main__":
    sys.exit(main())
