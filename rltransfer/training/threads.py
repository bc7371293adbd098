"""Threads for training on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from threadpoolctl import threadpool_limits

# A 64x64 MLP has 10,000 parameters, NatureCNN 1.7 million.
SMALL = 300_000


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread in torch and numpy, and bring the caller's setting back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _numpy_on_one_thread():
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def few_threads(weights: Iterable[torch.Tensor]) -> Iterator[None]:
    """Let a small network act and train on one thread, and bring the caller's setting back.

    With two threads a small network is no faster, and where another process wants the same cores
    each waits for the other at every layer: measured at a sixth of the speed and less. Numpy
    computes nothing but small networks, and gets one thread in any case.

    Args:
        weights: Tensors of the network; with :data:`SMALL` values or more torch keeps its threads.
    """
    small = sum(weight.numel() for weight in weights) < SMALL
    with one_thread() if small else _numpy_on_one_thread():
        yield


def _numpy_on_one_thread() -> AbstractContextManager[object]:
    return threadpool_limits(1, user_api="blas")
