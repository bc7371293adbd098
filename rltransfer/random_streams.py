"""Random streams that others go on drawing from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def forked(device: torch.device | None = None) -> AbstractContextManager[None]:
    """Draw from torch's streams, and let them continue as before.

    Args:
        device: Where something is drawn besides the CPU. The streams of GPUs are restored if it is
            one, and also where CUDA is in use: ``torch.manual_seed``, which Stable-Baselines3
            calls, seeds all of them.
    """
    cuda = torch.cuda.is_initialized() or (device is not None and device.type == "cuda")
    return torch.random.fork_rng(devices=range(torch.cuda.device_count()) if cuda else [])


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draw from a seed on the CPU, and let torch's stream there continue as before.

    Args:
        seed: The seed, at least 0.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed GPUs, where nothing is drawn.
        torch.default_generator.manual_seed(seed)
        yield
