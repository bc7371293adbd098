"""``python -m hostile FAMILY [NUMBER] [--out FOLDER] [--many]``: see the package."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from hostile import bases, families, observer, samples
from hostile.observer import Figures, Observer


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hostile")
    parser.add_argument("family", choices=["all", *families.FAMILIES])
    parser.add_argument("number", nargs="?", type=int)
    parser.add_argument("--out", type=Path, help="where to write the file")
    parser.add_argument("--many", action="store_true", help="as many files as the slow tests read")
    parser.add_argument("--seed", type=int, default=samples.SEED)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = bases.load(Path(folder, "bases"))
        watched = Observer(Path(folder, "observed"), found)
        if args.number is None:
            _all(args, watched)
        else:
            _one(args, watched)
        watched.close()


def _one(args: argparse.Namespace, watched: Observer) -> None:
    sample = samples.make(args.family, args.number, watched.bases, args.seed)
    if args.out is not None:
        observer.write(sample, args.out)
    print(f"{sample.note}: {sorted(sample.files)}, read {sample.target}, expected: {sample.expect}")
    answer = watched.read(sample)
    print(json.dumps(answer, indent=1))
    for complaint in observer.complaints(sample, answer):
        print("WRONG:", complaint)


def _all(args: argparse.Namespace, watched: Observer) -> None:
    names = list(families.FAMILIES) if args.family == "all" else [args.family]
    for name in names:
        figures, start = Figures(), time.monotonic()
        family = families.FAMILIES[name]
        for index in range(family.many if args.many else family.count):
            watched.judge(name, index, figures, args.seed)
        print(f"{name}: {figures}, {time.monotonic() - start:.0f} s in all", flush=True)
        for complaint in figures.complaints:
            print("  WRONG:", complaint, flush=True)


if __name__ == "__main__":
    _main()
