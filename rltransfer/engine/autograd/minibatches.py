"""Rows of a rollout as tensors on the policy's device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rltransfer.engine.features import Activations, FeatureCache, FrozenFront
from rltransfer.engine.features.front import computes_as_sb3, extractors_of
from rltransfer.engine.features.layout import channels_last, takes_channels_last
from rltransfer.engine.records import Rollout

# Share of the free memory of a GPU that the observations of one rollout may take.
DEVICE_SHARE = 0.25

Observations = np.ndarray | Mapping[str, np.ndarray]


class Minibatch(NamedTuple):
    """B rows; the policy reads either observations or the activations of its frozen layers."""

    observations: Any
    activations: Activations | None
    actions: Tensor
    old_log_prob: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor


class Minibatches:
    """Gives minibatches of one rollout.

    Numbers of each row are copied to the device once. Observations stay where they are, and are
    picked row by row, unless the device is a GPU that has room for all of them.

    Args:
        policy: The policy, for its device and its action space.
        observations: The rollout buffer's, shape (n_steps, n_envs, ...), or a dict of such.
        rollout: Everything else about its rows.
        cache: Activations of the frozen layers, if these are to be used; it must be valid.

    Attributes:
        front: The frozen layers whose activations minibatches hold; None if they hold observations.
    """

    def __init__(
        self,
        policy: Any,
        observations: Observations,
        rollout: Rollout,
        cache: FeatureCache | None,
    ) -> None:
        self._device = policy.device
        self._cache = cache
        self.front: FrozenFront | None = None if cache is None else cache.front
        self._observations = observations
        self._stored: Any = None
        if cache is None:
            self._stored = _by_row(observations, self._device)
        self._images = computes_as_sb3(policy) and all(
            takes_channels_last(extractor) for extractor in extractors_of(policy)
        )
        self._numbers = tuple(
            torch.as_tensor(numbers, device=self._device)
            for numbers in (
                rollout.old_log_prob,
                rollout.old_values,
                rollout.advantages,
                rollout.returns,
            )
        )
        self._actions = _actions(policy, rollout.actions)

    @property
    def on_device(self) -> bool:
        """Whether every row is on the device already."""
        if self._cache is not None:
            return self._cache.stored and all(self._cache.front.stores)
        stored = self._stored.values() if isinstance(self._stored, dict) else [self._stored]
        return all(isinstance(rows, Tensor) for rows in stored)

    def index(self, rows: np.ndarray) -> Tensor:
        """Row numbers, on the device."""
        return torch.as_tensor(rows, device=self._device)

    def take(self, rows: np.ndarray | Tensor, index: Tensor) -> Minibatch:
        """Pick rows.

        Args:
            rows: Row numbers, shape (B,); a tensor only where ``on_device``.
            index: The same, from ``index``.
        """
        observations = activations = None
        if self._cache is not None:
            activations = self._cache.take(rows, self._observations)
        else:
            observations = _take(self._stored, rows, index, self._device)
            observations = channels_last(observations) if self._images else observations
        return Minibatch(
            observations,
            activations,
            self._actions.index_select(0, index),
            *(numbers.index_select(0, index) for numbers in self._numbers),
        )


def _actions(policy: Any, actions: np.ndarray) -> Tensor:
    """Actions as SB3 hands them to the policy."""
    single = torch.as_tensor(actions.astype(np.float32, copy=False), device=policy.device)
    return single.long().flatten() if isinstance(policy.action_space, spaces.Discrete) else single


def _by_row(observations: Any, device: torch.device) -> Any:
    """View observations as rows; tensors on a GPU that has room, arrays otherwise."""
    if isinstance(observations, Mapping):
        flat: Any = {key: part.reshape(-1, *part.shape[2:]) for key, part in observations.items()}
        arrays = list(flat.values())
    else:
        flat = observations.reshape(-1, *observations.shape[2:])
        arrays = [flat]
    if not _has_room(device, sum(array.nbytes for array in arrays)):
        return flat
    if isinstance(flat, dict):
        return {key: torch.as_tensor(part, device=device) for key, part in flat.items()}
    return torch.as_tensor(flat, device=device)


def _has_room(device: torch.device, size: int) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return size <= DEVICE_SHARE * free


def _take(stored: Any, rows: Any, index: Tensor, device: torch.device) -> Any:
    if isinstance(stored, dict):
        return {key: _take(part, rows, index, device) for key, part in stored.items()}
    if isinstance(stored, Tensor):
        return stored.index_select(0, index)
    picked = torch.from_numpy(stored.take(rows, axis=0))
    if device.type == "cuda":
        # From pinned memory the copy does not hold up the host.
        return picked.pin_memory().to(device, non_blocking=True)
    return picked.to(device)
