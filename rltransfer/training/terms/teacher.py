"""The source as it was, to be asked while a learner moves away from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor

from rltransfer.engine.closed_form import Predictor, cannot_act
from rltransfer.engine.plan import has_plain_observations
from rltransfer.training.terms.actions import Actions
from rltransfer.training.terms.term import latent_of

ROWS = 4096
"""States that are evaluated at once."""


class Teacher:
    """A frozen policy that sees observations through its own statistics.

    Args:
        policy: The source's policy on the target's spaces. It is frozen, in evaluation mode.
        normalize: From raw observations, an array or a dict of arrays, to what it sees.
    """

    def __init__(self, policy: Any, normalize: Callable[[Any], Any]) -> None:
        self.policy = policy
        self._normalize = normalize
        policy.set_training_mode(False)
        policy.requires_grad_(False)
        self.observation_space = policy.observation_space
        closed = cannot_act(policy) is None and has_plain_observations(self)
        self._predictor = Predictor(policy, deterministic=True) if closed else None

    def see(self, raw: Any) -> Any:
        """Normalize observations, and put them on the policy's device."""
        return obs_as_tensor(self._normalize(raw), self.policy.device)

    def best(self, raw: Any) -> np.ndarray:
        """Choose the most likely actions in N states, within their bounds, shape (N, ...)."""
        seen = self._normalize(raw)
        actions = None if self._predictor is None else self._predictor.predict(seen)
        return self.policy.predict(seen, deterministic=True)[0] if actions is None else actions

    @torch.no_grad()
    def actions(self, raw: Any) -> Actions:
        """What it would do in N states."""
        chunks = self._chunks(raw)
        return Actions.concatenated([Actions.of(self.policy.get_distribution(c)) for c in chunks])

    def sample(self, raw: Any) -> np.ndarray:
        """Sample what it does in N states, within the bounds of the action space."""
        return self.policy.predict(self._normalize(raw), deterministic=False)[0]

    @torch.no_grad()
    def values(self, raw: Any) -> Tensor:
        """What it thinks that N states are worth, shape (N,)."""
        found = [self.policy.predict_values(seen).flatten() for seen in self._chunks(raw)]
        return torch.cat(found)

    @torch.no_grad()
    def latent(self, raw: Any) -> Tensor:
        """What its actor's head reads in N states, shape (N, width)."""
        return torch.cat([latent_of(self.policy, seen) for seen in self._chunks(raw)])

    def _chunks(self, raw: Any) -> Iterator[Any]:
        count = len(next(iter(raw.values()))) if isinstance(raw, dict) else len(raw)
        for start in range(0, count, ROWS):
            yield self.see(part_of(raw, slice(start, start + ROWS)))


def part_of(raw: Any, rows: slice | np.ndarray) -> Any:
    """Pick rows of observations: of an array, or of each in a dict."""
    if isinstance(raw, dict):
        return {key: np.asarray(part[rows]) for key, part in raw.items()}
    return np.asarray(raw[rows])


def concatenated(parts: Sequence[Any]) -> Any:
    """Put batches of observations together, one after the other."""
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def see(model: Any, raw: Any) -> Any:
    """Raw observations as a model's policy sees them now, on its device."""
    normalizer = model.get_vec_normalize_env()
    return obs_as_tensor(normalizer.normalize_obs(raw) if normalizer else raw, model.device)
