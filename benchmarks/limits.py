"""What an iteration on CartPole cannot do without: matrix products, tanh, environments.

    python benchmarks/limits.py

Times, on one thread, an iteration of TransferPPO (8 environments x 128 steps, batch 256, 10 epochs,
64x64 twice), its update and its rollout, and then what no implementation in single precision can
leave out: the matrix products of all minibatches and their activations, in numpy with the shapes
that the update has, and the steps of the environments. The rest is dispatch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rltransfer.engine.options import EngineOptions
from rltransfer.pretrain import fresh

STEPS, ENVS, BATCH, EPOCHS = 128, 8, 256, 10
MINIBATCHES = EPOCHS * STEPS * ENVS // BATCH
TOWERS = (((5, 64), (65, 64), (65, 2)), ((5, 64), (65, 64), (65, 1)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30, help="of which the median counts")
    rounds = parser.parse_args().rounds
    with threadpool_limits(1, user_api="blas"):
        rows = [
            *(measured(rounds, compiled=compiled) for compiled in (True, False)),
            ("matrix products alone", MINIBATCHES * median(products(), 20 * rounds)),
            ("tanh alone", MINIBATCHES * median(activations(), 20 * rounds)),
            ("environments alone", STEPS * median(environments(), 20 * rounds)),
        ]
    for name, seconds in rows:
        print(f"{name:<36} {seconds * 1e3:6.2f} ms")


def median(call: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call."""
    call()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def measured(rounds: int, *, compiled: bool) -> tuple[str, float]:
    """An iteration of TransferPPO."""
    model: Any = fresh("CartPole-v1", n_envs=ENVS, n_steps=STEPS, batch_size=BATCH, seed=0)
    model.engine_options = EngineOptions(compiled=compiled)
    size = ENVS * STEPS
    model.learn(5 * size)
    seconds = median(lambda: model.learn(size, reset_num_timesteps=False), rounds)
    return f"iteration, {'numba' if compiled else 'numpy'}", seconds


def products() -> Callable[[], None]:
    """The matrix products of one minibatch: forward, gradients of weights and of activations."""
    calls: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for layers in TOWERS:
        for depth, (inputs, outputs) in enumerate(layers):
            weights, x, delta = (
                np.ones(shape, np.float32)
                for shape in ((inputs, outputs), (inputs, BATCH), (outputs, BATCH))
            )
            calls.append((weights.T, x, np.empty_like(delta)))
            calls.append((x, delta.T, np.empty_like(weights)))
            if depth:
                calls.append((weights[:-1], delta, np.empty_like(x[:-1])))

    def run() -> None:
        for left, right, out in calls:
            left.dot(right, out)

    return run


def activations() -> Callable[[], None]:
    """The tanh of one minibatch: two layers in each tower."""
    hidden = np.random.default_rng(0).normal(size=(64, BATCH)).astype(np.float32)
    out = np.empty_like(hidden)

    def run() -> None:
        for _ in range(4):
            np.tanh(hidden, out=out)

    return run


def environments() -> Callable[[], object]:
    """A step of the environments, with random actions."""
    model = fresh("CartPole-v1", n_envs=ENVS, n_steps=STEPS, batch_size=BATCH, seed=0)
    env: Any = model.get_env()
    env.reset()
    actions = iter(np.random.default_rng(0).integers(0, 2, (1_000_000, ENVS)))
    return lambda: env.step(next(actions))


if __name__ == "__main__":
    main()
