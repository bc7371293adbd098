"""Threads for training on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# A 64x64 MLP has 10,000 parameters, NatureCNN 1.7 million.
SMALL = 300_000


@contextmanager
def few_threads(policy: nn.Module) -> Iterator[None]:
    """Train a small network on one thread, and bring the caller's setting back.

    With two threads a small network is no faster, and where another process wants the same cores
    each waits for the other at every layer: measured at a sixth of the speed and less.

    Args:
        policy: What is trained; one with :data:`SMALL` parameters or more keeps all threads.
    """
    before = torch.get_num_threads()
    if sum(p.numel() for p in policy.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
