"""Features that need no gradient, as numpy arrays: what the closed form reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor

from rltransfer.engine.features import FeatureCache, FrozenFront, pick
from rltransfer.engine.records import Pair, Take


class FeatureSource(Protocol):
    """Gives the features of actor and critic: one array twice when they share their extractor."""

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Prepare for a rollout."""
        ...

    def compute(self, observations: Any, step: int | None = None) -> Pair:
        """Features of a batch of observations; kept if they are a rollout's at ``step``."""
        ...

    def reader(self, stored: Any) -> Take:
        """From rows of the rollout to features; ``stored`` is the buffer's observations."""
        ...


class ArraySource:
    """Observations that are their own features: vectors behind a ``FlattenExtractor``."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Nothing to prepare."""

    def compute(self, observations: Any, step: int | None = None) -> Pair:
        """Flatten and cast."""
        features = observations.reshape(len(observations), -1).astype(self._dtype, copy=False)
        return features, features

    def reader(self, stored: Any) -> Take:
        """Cast the whole rollout once."""
        count = stored.shape[0] * stored.shape[1]
        flat = stored.reshape(count, -1).astype(self._dtype, copy=False)

        def take(rows: np.ndarray) -> Pair:
            features = flat[rows]
            return features, features

        return take


class ExtractorSource:
    """Features of a frozen extractor, or of one without parameters.

    Args:
        policy: The policy.
        front: Its frozen extractor; None if there is no work to save.
        new_cache: Makes an empty cache for the features of one rollout.
    """

    def __init__(
        self,
        policy: Any,
        front: FrozenFront | None,
        new_cache: Callable[[FrozenFront], FeatureCache],
    ) -> None:
        self._policy = policy
        self._front = front
        self._new_cache = new_cache
        self._cache: FeatureCache | None = None

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Start an empty cache."""
        if self._front is not None:
            self._cache = self._new_cache(self._front)

    @torch.no_grad()
    def compute(self, observations: Any, step: int | None = None) -> Pair:
        """Run the extractor."""
        tensors = obs_as_tensor(observations, self._policy.device)
        if self._front is None or self._cache is None:
            return self._arrays(self._policy.extract_features(tensors))
        activations = self._front.compute(tensors)
        if step is not None:
            self._cache.put(step, activations)
        return self._arrays(self._front.finish(activations))

    def reader(self, stored: Any) -> Take:
        """Read the cache; without one, run the extractor on the observations."""
        front, cache = self._front, self._cache
        if front is None or cache is None or not cache.valid():
            return lambda rows: self.compute(pick(stored, rows))
        return lambda rows: self._arrays(front.finish(cache.take(rows, stored)))

    def _arrays(self, features: Any) -> Pair:
        if isinstance(features, tuple):
            return features[0].numpy(), features[1].numpy()
        array = features.numpy()
        return array, array
