"""Leaving everything as it was: random streams, and what acting changes in a policy."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from rltransfer.evaluation.given import Acting
from rltransfer.random_streams import forked


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Run on random streams of its own: those of torch, numpy and Python continue as before.

    Args:
        seed: Seed of all three streams, at least 0.
        device: Also seed this one, if it is a GPU.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    cuda = [device] if device is not None and device.type == "cuda" else []
    with forked(device):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        # Not torch.manual_seed, which would also seed devices where nothing is drawn.
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def undisturbed(model: BaseAlgorithm | Acting, seed: int) -> Iterator[None]:
    """Let a model act on random streams of its own, and restore what acting changes.

    ``predict`` puts every module into evaluation mode, and leaves its last distribution, with the
    noise matrices of gSDE, in the policy; both belong to the rollout that is under way.

    Args:
        model: The model.
        seed: Seed of the streams, at least 0.
    """
    modes = [(module, module.training) for module in model.policy.modules()]
    distribution = getattr(model.policy, "action_dist", None)
    noise = dict(vars(distribution)) if distribution is not None else {}
    with seeded(seed, model.device):
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            if distribution is not None:
                vars(distribution).clear()
                vars(distribution).update(noise)
