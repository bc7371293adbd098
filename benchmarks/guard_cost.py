"""What checking every step of an environment costs, against Stable-Baselines3 without any check.

    python benchmarks/guard_cost.py            # half a minute

One CartPole is stepped in this process, in turn by SB3's DummyVecEnv, by rltransfer's SyncVecEnv
without checks, and by what make_vec() returns, which checks. All have a Monitor. The order changes
in each round, and the cost is the median over the rounds of the difference within a round, so that
what else the machine does falls on all alike. The result goes to --out as guard_cost.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from processor import processor
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from rltransfer.agents.files import atomic_write
from rltransfer.vec import make_vec
from rltransfer.vec.sync import SyncVecEnv

TASK = "CartPole-v1"
PLAIN, BARE, GUARDED = "SB3 DummyVecEnv", "SyncVecEnv, no checks", "make_vec, checked"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--steps", type=int, default=1000, help="steps of a round")
    default = Path(__file__).parent / "results" / "guard_cost"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    text = page(measure(args.rounds, args.steps), args.rounds, args.steps)
    atomic_write(args.out / "guard_cost.md", text.encode())
    print(text)


def measure(rounds: int, steps: int) -> dict[str, list[float]]:
    """Microseconds a step of each way, one value a round."""
    ways = ways_to_step()
    times: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(seconds(ways[name], steps) / steps * 1e6)
    return times


def ways_to_step() -> dict[str, VecEnv]:
    def make() -> gym.Env:
        return Monitor(gym.make(TASK, disable_env_checker=True))

    ways: dict[str, VecEnv] = {
        PLAIN: DummyVecEnv([make]),
        BARE: SyncVecEnv([make]),
        GUARDED: make_vec(TASK, 1, vec="sync"),
    }
    for venv in ways.values():
        venv.seed(0)
        venv.reset()
    return ways


def seconds(venv: VecEnv, steps: int) -> float:
    """Processor time of some steps, resets of ended episodes among them."""
    actions = [np.array([0]), np.array([1])]
    began = time.thread_time()
    for step in range(steps):
        venv.step(actions[step % 2])
    return time.thread_time() - began


def page(times: dict[str, list[float]], rounds: int, steps: int) -> str:
    medians = {name: statistics.median(values) for name, values in times.items()}
    lines = [
        "# What checking every step costs",
        "",
        f"One {TASK} in one process on one core of {processor()}; median of {rounds} rounds of"
        f" {steps} steps, in microseconds of processor time a step, resets included"
        " (`python benchmarks/guard_cost.py`).",
        "",
        "| stepped by | microseconds | ratio to SB3 | fastest round |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, median in medians.items():
        ratio, best = median / medians[PLAIN], min(times[name])
        lines.append(f"| {name} | {median:.2f} | {ratio:.2f} | {best:.2f} |")
    for other, word in (
        (BARE, "The checks alone"),
        (PLAIN, "All of it, against SB3 without checks"),
    ):
        differences = [a - b for a, b in zip(times[GUARDED], times[other], strict=True)]
        fastest = min(times[GUARDED]) - min(times[other])
        lines += [
            "",
            f"{word}: {statistics.median(differences):+.2f} microseconds a step (median of the"
            f" differences within a round; between the fastest rounds {fastest:+.2f}).",
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
