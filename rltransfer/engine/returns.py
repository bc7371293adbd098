"""Generalized advantage estimation over a whole rollout."""

from __future__ import annotations

from typing import Any

import numpy as np


def compute_returns(buffer: Any, last_values: np.ndarray, dones: np.ndarray) -> None:
    """Fill ``advantages`` and ``returns`` of a full rollout buffer.

    Advantages by GAE (Schulman et al. 2016, eq. 16), returns by TD(lambda): what
    ``RolloutBuffer.compute_returns_and_advantage`` computes, operation by operation, with all but
    the recursion itself done for all steps at once.

    Args:
        buffer: Rollout buffer with rewards, values and episode starts, (n_steps, n_envs), float32.
            Its ``gamma`` is a number, or one for each environment.
        last_values: Values of the observations after the last step, shape (n_envs,).
        dones: Which environments ended at the last step, shape (n_envs,).
    """
    values = buffer.values
    going_on = 1.0 - np.concatenate([buffer.episode_starts[1:], dones[None].astype(np.float32)])
    following = np.concatenate([values[1:], last_values[None].astype(values.dtype)])
    deltas = buffer.rewards + buffer.gamma * following * going_on - values
    decay = buffer.gamma * buffer.gae_lambda * going_on
    advantage = np.zeros(values.shape[1], values.dtype)
    for delta, factor, row in zip(deltas[::-1], decay[::-1], buffer.advantages[::-1], strict=True):
        np.multiply(advantage, factor, out=advantage)
        np.add(delta, advantage, out=advantage)
        row[:] = advantage
    buffer.returns = buffer.advantages + values
