"""Which start learns unseen CartPoles fastest: of Reptile, of a randomized task, or of one task.

    python benchmarks/meta.py                       # see the time in the result
    python benchmarks/meta.py --seeds 1 --steps 8000 --target-steps 4000 --out /tmp/meta

All starts are trained for equally many environment steps, with the same hyperparameters: by Reptile
on five CartPoles, by PPO on the same five side by side, by Reptile and by PPO on CartPoles with
parameters drawn for each episode, and by PPO on the stock CartPole. Each is then fine-tuned on
variants that none of them saw. The result is the area under the normalized learning curve, from
which that of training from scratch, with the same seed, is subtracted.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rltransfer as rlt
from rltransfer import registry
from rltransfer.agents.files import atomic_write, csv_of
from rltransfer.callbacks import Evaluate
from rltransfer.errors import TransferError
from rltransfer.experiments import folders
from rltransfer.meta import reptile
from rltransfer.metrics import auc, bootstrap_interval
from rltransfer.pretrain import fresh, versions
from rltransfer.randomizing import randomized
from rltransfer_envs.vectorized import mixture

OUT = Path(__file__).parent / "results" / "meta"
SINGLE = "CartPole-v1"
FAMILY = [
    *(SINGLE, "rlt/CartPoleLong-v0", "rlt/CartPoleHeavyPole-v0"),
    *("rlt/CartPoleHeavyCart-v0", "rlt/CartPoleGravity-v0"),
]
HELD_OUT = ["rlt/CartPoleFar-v0", "rlt/CartPoleSlowControl-v0", "rlt/CartPoleSwapped-v0"]
#: About what the family spans, and no negative force.
RANGES = {
    "length": (0.5, 1.0, "log"),
    "masspole": (0.1, 1.0, "log"),
    "masscart": (1.0, 4.0, "log"),
    "gravity": (9.8, 20.0),
    "force_mag": (6.0, 10.0),
}
SETTINGS: dict[str, Any] = {"n_envs": 10, "n_steps": 128, "learning_rate": 1e-3}
POINTS, EPISODES = 8, 10
HEADER = ("start", "target", "seed", "zero_shot", "auc", "auc_scratch", "gain")


def starts(steps: int, seed: int) -> dict[str, rlt.Agent]:
    """Train all starts with equal steps."""
    poles = randomized(SINGLE, "benchmark/Poles-v0", RANGES)
    plain = {"episodes": 2, "seed": seed, **SETTINGS}
    made: dict[str, Callable[[], rlt.Agent]] = {
        "reptile": lambda: reptile(FAMILY, steps, seed=seed, **SETTINGS),
        "reptile, randomized": lambda: reptile([poles], steps, seed=seed, **SETTINGS),
        "side by side": lambda: side_by_side(steps, seed),
        "randomized": lambda: rlt.pretrain(poles, steps, **plain),
        "single": lambda: rlt.pretrain(SINGLE, steps, **plain),
    }
    return {name: make() for name, make in made.items()}


def side_by_side(steps: int, seed: int) -> rlt.Agent:
    """PPO with one set of weights on all tasks of the family at once."""
    model = fresh(SINGLE, seed=seed, **SETTINGS)
    model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
    each = SETTINGS["n_envs"] // len(FAMILY)
    venv = rlt.VectorEnvAdapter(mixture(FAMILY * each), spec=registry.spec(SINGLE))
    venv.seed(seed)
    model.set_env(venv)
    try:
        model.learn(steps)
        return rlt.as_agent(model, task=SINGLE, seed=seed, episodes=2)
    finally:
        venv.close()


def curve(source: rlt.Agent, target: str, recipe: str, steps: int, seed: int) -> np.ndarray:
    """Area under the normalized learning curve, and its first score."""
    model = rlt.adapt(source, target, recipe, seed=seed, **SETTINGS)
    watch = Evaluate(target, points=POINTS, episodes=EPISODES)
    try:
        model.learn(steps, callback=watch)
    finally:
        model.get_env().close()  # pyright: ignore[reportOptionalMemberAccess]
    scores = registry.task(target).normalize(watch.curve.deterministic.mean(axis=1))
    return np.array([auc(watch.curve.steps, scores), np.asarray(scores)[0]])


def run(seeds: int, steps: int, target_steps: int) -> list[tuple[Any, ...]]:
    """All rows of the table; see ``HEADER``."""
    rows = []
    for seed in range(seeds):
        sources = starts(steps, seed)
        for target in HELD_OUT:
            any_source = next(iter(sources.values()))
            scratch, _ = curve(any_source, target, "scratch", target_steps, seed)
            for name, source in sources.items():
                area, first = curve(source, target, "full", target_steps, seed)
                rows.append((name, target, seed, first, area, scratch, area - scratch))
        print(f"seed {seed} done", flush=True)
    return rows


def page(rows: Sequence[tuple[Any, ...]], heading: str) -> str:
    """Gains with 95 % intervals over seeds, by start and target."""
    names = list(dict.fromkeys(row[0] for row in rows))
    lines = [heading]
    for title, place in (("Gain in area over scratch", 6), ("Score without training", 3)):
        lines += [f"## {title}", "", f"| start | {' | '.join(HELD_OUT)} | mean |"]
        lines.append("|---" * (len(HELD_OUT) + 2) + "|")
        for name in names:
            by_target = [_of(rows, name, target, place) for target in HELD_OUT]
            cells = [*map(_cell, by_target), _cell(np.mean(by_target, axis=0))]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _of(rows: Sequence[tuple[Any, ...]], name: str, target: str, place: int) -> np.ndarray:
    return np.array([float(row[place]) for row in rows if row[:2] == (name, target)])


def _cell(values: np.ndarray) -> str:
    low, high = bootstrap_interval(values)
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else [*argv]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50_000, help="of each start")
    parser.add_argument("--target-steps", type=int, default=10_240, help="of each fine-tuning")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(given)
    begun = time.perf_counter()
    try:
        folders.check_writable(args.out)
        folders.create(args.out)
        rows = run(args.seeds, args.steps, args.target_steps)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    atomic_write(args.out / "meta.csv", csv_of([HEADER, *rows]))
    atomic_write(args.out / "meta.md", page(rows, _heading(given, args, begun)).encode())
    print(f"written to {args.out}")
    return 0


def _heading(given: Sequence[str], args: argparse.Namespace, begun: float) -> str:
    command = shlex.join(["python", "benchmarks/meta.py", *given])
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        "# Starts for unseen CartPoles\n\n"
        f"{args.seeds} seeds, {args.steps:,} steps for each start and {args.target_steps:,} for "
        "each fine-tuning. Normalized scores; brackets hold 95 % bootstrap intervals over "
        f"seeds.\n\n`{command}`, {time.perf_counter() - begun:.0f} s on {platform.machine()}; "
        f"{packages}.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
