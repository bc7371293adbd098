"""Whether two tasks ask the same changes of one policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

FISHER_ROWS = 200
"""Actions whose gradients the Fisher information is estimated from."""


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two vectors; nan if one has no length."""
    length = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / length) if length > 0 else float("nan")


def policy_gradient(policy: Any, observations: Any, actions: Tensor, advantages: Tensor) -> Any:
    """Gradient of PPO's policy loss at the policy that acted, where no ratio is clipped.

    ``-mean(A log pi(a|s))`` with standardized advantages has the gradient of the clipped surrogate
    at ratio 1 (Schulman et al. 2017, equation 7).

    Args:
        policy: An ``ActorCriticPolicy``.
        observations: As it sees them: (n, ...), or a dict of such.
        actions: As it takes them, shape (n, ...).
        advantages: Shape (n,).

    Returns:
        One vector over all parameters, 0 for those of the critic alone.
    """
    standard = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    _, log_prob, _ = policy.evaluate_actions(observations, actions)
    return _vector(-(standard * log_prob).mean(), policy)


def fisher(policy: Any, observations: Any, actions: Tensor) -> np.ndarray:
    """Diagonal of the Fisher information of the actor: ``mean (d log pi(a|s) / d w)^2``.

    Args:
        policy: An ``ActorCriticPolicy``.
        observations: As it sees them: (n, ...), or a dict of such.
        actions: That it drew there, shape (n, ...).

    Returns:
        One vector over all parameters.
    """
    rows = np.linspace(0, len(actions) - 1, min(FISHER_ROWS, len(actions))).round().astype(int)
    squares = [_row_gradient(policy, observations, actions, [row]) ** 2 for row in rows.tolist()]
    return np.mean(squares, axis=0)


def fisher_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two diagonals, each entry relative to the sum of both.

    Args:
        first: Shape (parameters,), >= 0.
        second: The same.

    Returns:
        From 0 (the tasks use different parameters) to 1; nan if no parameter is used.

    Source:
        Achille et al. 2019 (Task2Vec), section 4 (symmetric distance); here without its variational
        estimate and its trained head.
    """
    total = first + second
    used = total > 0
    return cosine(first[used] / total[used], second[used] / total[used])


def _row_gradient(policy: Any, observations: Any, actions: Tensor, rows: list[int]) -> np.ndarray:
    seen = (
        {key: part[rows] for key, part in observations.items()}
        if isinstance(observations, dict)
        else observations[rows]
    )
    return _vector(policy.evaluate_actions(seen, actions[rows])[1].sum(), policy)


def _vector(loss: Tensor, policy: Any) -> np.ndarray:
    parameters: Iterable[Tensor] = list(policy.parameters())
    found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    flat = [
        torch.zeros_like(one).flatten() if part is None else part.flatten()
        for one, part in zip(parameters, found, strict=True)
    ]
    return torch.cat(flat).double().cpu().numpy()
