"""How long it takes to load an agent, against PPO.load of Stable-Baselines3.

    python benchmarks/load_agents.py                     # three zips, 60 rounds
    python benchmarks/load_agents.py --rounds 200 --out runs/load_agents

Each round times the three calls once for each zip, in another order each time, so that whatever
else the machine does falls on all of them alike:

- load: ``rltransfer.load(zip)``, an agent whose every byte was checked, not yet a network;
- build: ``rltransfer.load(zip).build()``, a model that predicts and trains on;
- PPO.load: ``PPO.load(zip, device="cpu")``, the same model, by running the pickles in the file.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import shlex
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processor import processor
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv

import rltransfer
from rltransfer.agents.files import atomic_write
from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.metrics import bootstrap_interval

HERE = Path(__file__).parent
CALLS: dict[str, Callable[[Path], Any]] = {
    "load": rltransfer.load,
    "build": lambda path: rltransfer.load(path).build(),
    "PPO.load": lambda path: PPO.load(path, device="cpu"),
}
#: Milliseconds of each round, by call.
Times = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60, help="repetitions that are timed")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "load_agents")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error(f"--rounds {args.rounds}: expected at least 2")
    torch.set_num_threads(1)
    try:
        folders.check_writable(args.out)
        args.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            zips = make_zips(Path(folder))
            sizes = {name: path.stat().st_size for name, path in zips.items()}
            times = measure(zips, args.rounds)
        write(times, sizes, args)
        return 0
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def make_zips(folder: Path) -> dict[str, Path]:
    """Train one rollout with each kind of policy, so that there is optimizer state too."""
    image = FakeImageEnv(screen_height=84, screen_width=84, n_channels=4)
    models = {
        "CartPole-v1, 2 x 64": PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu"),
        "CartPole-v1, 2 x 256": PPO(
            "MlpPolicy",
            "CartPole-v1",
            n_steps=64,
            device="cpu",
            policy_kwargs={"net_arch": [256, 256]},
        ),
        "84 x 84 images, CNN": PPO("CnnPolicy", image, n_steps=64, n_epochs=1, device="cpu"),
    }
    zips = {}
    for index, (name, model) in enumerate(models.items()):
        zips[name] = folder / f"{index}.zip"
        model.learn(64).save(zips[name])
    return zips


def measure(zips: dict[str, Path], rounds: int) -> dict[str, Times]:
    """Time every call on every zip once a round; the first round is not counted."""
    times: dict[str, Times] = {name: {call: [] for call in CALLS} for name in zips}
    cases = [(name, call) for name in zips for call in CALLS]
    order = random.Random(0)
    # What the imports left need not be looked through before each call.
    gc.collect()
    gc.freeze()
    for index in range(rounds + 1):
        order.shuffle(cases)
        for name, call in cases:
            elapsed = time_once(CALLS[call], zips[name])
            if index > 0:
                times[name][call].append(elapsed)
    return times


def time_once(call: Callable[[Path], Any], path: Path) -> float:
    """Return milliseconds; the garbage of the calls before is not collected on its account."""
    gc.collect()
    started = time.perf_counter()
    result = call(path)
    elapsed = 1e3 * (time.perf_counter() - started)
    del result
    return elapsed


def write(times: dict[str, Times], sizes: dict[str, int], args: argparse.Namespace) -> None:
    """Write the results as JSON and as a table, and print the table."""
    command = shlex.join(["python", "benchmarks/load_agents.py", *sys.argv[1:]])
    rows = {
        name: {"zip_bytes": sizes[name], **summarize(measured)} for name, measured in times.items()
    }
    facts = {"command": command, "rounds": args.rounds, **machine()}
    document = {**facts, "milliseconds": rows}
    atomic_write(args.out / "load_agents.json", (json.dumps(document, indent=2) + "\n").encode())
    text = f"{_note(facts)}\n\n{table(rows)}"
    atomic_write(args.out / "load_agents.md", text.encode())
    print(text)


def summarize(times: Times) -> dict[str, Any]:
    """Medians in milliseconds, and how many times faster than PPO.load, with a 95 % interval."""
    plain = np.array(times["PPO.load"])
    summary: dict[str, Any] = {"median": {c: float(np.median(ms)) for c, ms in times.items()}}
    for call in ("load", "build"):
        # Of the rounds, in pairs: what slows a round slows both.
        pairs = np.stack([plain, np.array(times[call])], axis=1)
        low, high = bootstrap_interval(pairs, _ratio_columns)
        ratio = float(np.median(plain) / np.median(times[call]))
        summary[f"speedup_{call}"] = [ratio, float(np.min(low)), float(np.max(high))]
    return summary


def _ratio_columns(values: np.ndarray, *, axis: int) -> np.ndarray:
    """The ratio of the medians of the two columns, once for each column."""
    medians = np.median(values, axis=axis)
    ratio = medians[..., :1] / medians[..., 1:]
    return np.broadcast_to(ratio, medians.shape)


def table(rows: dict[str, dict[str, Any]]) -> str:
    head = ["agent", "zip, kB", "load, ms", "build, ms", "PPO.load, ms"]
    lines = [[*head, "load is faster", "build is faster"], ["---", *["---:"] * 6]]
    for name, row in rows.items():
        medians = [f"{row['median'][call]:.2f}" for call in CALLS]
        ratios = [_ratio(row[f"speedup_{call}"]) for call in ("load", "build")]
        lines.append([name, f"{row['zip_bytes'] / 1000:.0f}", *medians, *ratios])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _ratio(values: list[float]) -> str:
    ratio, low, high = values
    return f"{ratio:.2f} x [{low:.2f}, {high:.2f}]"


def machine() -> dict[str, Any]:
    packages = ("rltransfer", "stable-baselines3", "torch", "numpy")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {processor()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
    }


def _note(facts: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    where = f"{facts['machine']}, Python {facts['python']}, {packages}, 1 thread"
    return (
        f"Made by `{facts['command']}` on {where}.\n"
        f"Medians of {facts['rounds']} rounds in one process; ratios of medians with 95 % "
        "bootstrap intervals over the rounds.\n`load` checks every byte and gives an agent; "
        "`build` is `load` and then a model of it, which is what `PPO.load` gives."
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
