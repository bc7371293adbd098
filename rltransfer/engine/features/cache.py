"""Activations of the frozen layers for one rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor

from rltransfer.engine.features.front import Activations, FrozenFront


class FeatureCache:
    """Keeps the activations of one rollout, computed while acting, for all epochs of the update.

    Args:
        front: The frozen layers.
        n_steps: Steps of the rollout.
        n_envs: Environments.
        limit_bytes: Most memory that it may take. A rollout that needs more is not kept, and is
            computed from observations whenever rows are taken.

    Attributes:
        front: The frozen layers.
        nbytes: Memory taken, known after the first ``put``.
        stored: Whether activations are kept, rather than computed at each ``take``.
    """

    def __init__(self, front: FrozenFront, n_steps: int, n_envs: int, limit_bytes: int) -> None:
        self.front = front
        self.nbytes = 0
        self.stored = False
        self._shape = (n_steps, n_envs)
        self._limit = limit_bytes
        self._rows: tuple[Tensor | None, ...] = ()
        self._held = np.zeros(n_steps, bool)
        self._fingerprint = front.fingerprint()

    def put(self, step: int, activations: Activations) -> None:
        """Keep the activations of one step, of all environments."""
        if not self._held.any():
            self._make_room(activations)
        self._held[step] = True
        for rows, activation in zip(self._rows, activations, strict=True):
            if rows is not None:
                rows[step].copy_(activation)

    def valid(self) -> bool:
        """Tell whether all steps were put, and the frozen layers are what they were then."""
        return bool(self._held.all()) and self.front.fingerprint() == self._fingerprint

    def take(self, rows: np.ndarray | Tensor, observations: Any) -> Activations:
        """Pick rows.

        Args:
            rows: Row numbers ``step * n_envs + env``, shape (B,), integers.
            observations: Observations of the rollout, shape (n_steps, n_envs, ...), or a dict of
                such, for what is not kept.
        """
        if not self.stored:
            return self.front.compute(self._observed(rows, observations))
        bare = None if all(self.front.stores) else self._observed(rows, observations)
        return tuple(
            bare if kept is None else kept.flatten(0, 1).index_select(0, _index(rows, kept.device))
            for kept in self._rows
        )

    def _make_room(self, activations: Activations) -> None:
        chosen = [
            activation if store else None
            for activation, store in zip(activations, self.front.stores, strict=True)
        ]
        n_steps, _ = self._shape
        size = n_steps * sum(a.numel() * a.element_size() for a in chosen if a is not None)
        self.stored = size <= self._limit
        self.nbytes = size if self.stored else 0
        self._rows = tuple(
            None
            if a is None or not self.stored
            else torch.empty((n_steps, *a.shape), dtype=a.dtype, device=a.device)
            for a in chosen
        )

    def _observed(self, rows: Any, observations: Any) -> Any:
        if isinstance(rows, Tensor):
            rows = rows.cpu().numpy()
        return obs_as_tensor(pick(observations, rows), self.front.device)


def pick(observations: Any, rows: np.ndarray) -> Any:
    """Pick rows of a rollout's observations.

    Args:
        observations: Shape (n_steps, n_envs, ...), or a dict of such.
        rows: Row numbers ``step * n_envs + env``, shape (B,), integers.

    Returns:
        Shape (B, ...), or a dict of such.
    """
    if isinstance(observations, Mapping):
        return {key: pick(part, rows) for key, part in observations.items()}
    return observations.reshape(-1, *observations.shape[2:]).take(rows, axis=0)


def _index(rows: np.ndarray | Tensor, device: torch.device) -> Tensor:
    return torch.as_tensor(rows, device=device)
