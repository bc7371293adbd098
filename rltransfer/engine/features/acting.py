"""Acting through the frozen front, whose activations are kept for the update."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor

from rltransfer.engine.features.cache import FeatureCache
from rltransfer.engine.features.front import FrozenFront
from rltransfer.engine.features.heads import act_on_features


class FrontActor:
    """Acts as ``policy.forward`` does, and fills a cache on the way.

    It draws from torch's global generator what ``policy.forward`` draws.

    Args:
        policy: An ``ActorCriticPolicy``.
        front: Its frozen layers.
        cache: An empty cache for the rollout.
    """

    may_wait = False

    def __init__(self, policy: Any, front: FrozenFront, cache: FeatureCache) -> None:
        self._policy = policy
        self._front = front
        self._cache = cache
        self._values: list[Tensor] = []
        self._log_probs: list[Tensor] = []

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Forget the steps of an earlier rollout."""
        self._values.clear()
        self._log_probs.clear()

    @torch.no_grad()
    def act(self, observations: Any, step: int) -> np.ndarray:
        """Choose actions, and keep activations, values and log probabilities."""
        activations = self._front.compute(obs_as_tensor(observations, self._policy.device))
        self._cache.put(step, activations)
        features = self._front.finish(activations)
        actions, values, log_probs = act_on_features(self._policy, features)
        self._values.append(values)
        self._log_probs.append(log_probs)
        return actions.cpu().numpy()

    def evaluated(self, step: int) -> tuple[Tensor, Tensor]:
        """Values, shape (n_envs, 1), and log probabilities, (n_envs,), of the step just acted."""
        return self._values[step], self._log_probs[step]

    def finish(self, buffer: Any) -> None:
        """Fill values and log probabilities of the rollout buffer, as far as it was acted."""
        steps = len(self._values)
        # One copy of all, since each waits for a GPU.
        values = torch.stack(self._values).reshape(steps, -1)
        buffer.values[:steps] = values.cpu().numpy()
        buffer.log_probs[:steps] = torch.stack(self._log_probs).reshape(steps, -1).cpu().numpy()

    @torch.no_grad()
    def predict_values(self, observations: Any) -> np.ndarray:
        """Values of a batch of observations (an array, or a dict of arrays), shape (n,)."""
        tensors: Any = obs_as_tensor(observations, self._policy.device)
        return self._policy.predict_values(tensors).cpu().numpy().ravel()
