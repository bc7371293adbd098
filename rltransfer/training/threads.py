"""Threads for training on the CPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

# A 64x64 MLP has 10,000 parameters, NatureCNN 1.7 million.
SMALL = 300_000
# What a container may use of its machine, by version 2 of Linux' control groups.
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def one_thread() -> AbstractContextManager[None]:
    """Use one thread in torch and numpy, and bring the caller's setting back."""
    return _threads(1)


def few_threads(weights: Iterable[torch.Tensor]) -> AbstractContextManager[None]:
    """Let a small network act and train on one thread, and bring the caller's setting back.

    With two threads a small network is no faster, and where another process wants the same cores
    each waits for the other at every layer: measured at a sixth of the speed and less. A larger
    network keeps torch's threads, but no more than there are cores for this process. Numpy
    computes nothing but small networks, and gets one thread in any case.

    Args:
        weights: Tensors of the network; with :data:`SMALL` values or more it is not small.
    """
    small = sum(weight.numel() for weight in weights) < SMALL
    return _threads(1 if small else min(torch.get_num_threads(), cores()))


def cores() -> int:
    """Number of cores that this process may use, by its affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        return min(count, _quota(QUOTA.read_text()))
    except (OSError, ValueError):  # no such control group
        return count


def _quota(text: str) -> int:
    """Cores of a quota such as ``"150000 100000"``; ValueError where it is ``"max"``."""
    allowed, period = text.split()
    return max(1, math.ceil(int(allowed) / int(period)))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
