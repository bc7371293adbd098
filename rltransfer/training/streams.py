"""Random numbers beside those of the training."""

from __future__ import annotations

import numpy as np
import torch


def stream(seed: int | None, name: str) -> torch.Generator:
    """Make a generator of its own, which disturbs no other.

    Args:
        seed: Seed of the run; None for any.
        name: What it is for: another name gives other numbers.

    Returns:
        A generator on the CPU.
    """
    entropy = None if seed is None else [seed, *name.encode()]
    first = np.random.SeedSequence(entropy).generate_state(1)[0]
    return torch.Generator().manual_seed(int(first))
