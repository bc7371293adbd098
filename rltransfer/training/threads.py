"""Threads for training on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch

# A 64x64 MLP has 10,000 parameters, NatureCNN 1.7 million.
SMALL = 300_000


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread, and bring the caller's setting back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def few_threads(weights: Iterable[torch.Tensor]) -> Iterator[None]:
    """Let a small network act and train on one thread, and bring the caller's setting back.

    With two threads a small network is no faster, and where another process wants the same cores
    each waits for the other at every layer: measured at a sixth of the speed and less.

    Args:
        weights: Tensors of the network; with :data:`SMALL` values or more it keeps all threads.
    """
    small = sum(weight.numel() for weight in weights) < SMALL
    with one_thread() if small else nullcontext():
        yield
