"""AppleRetrieval, and REINFORCE with two parameters: many agents and episodes at once.

The task and the policy are described in `apple_retrieval.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMIT, BATCH, DISCOUNT, RATE, PRETRAINED = 100, 10, 0.9, 1e-3, 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Episodes:
    """Episodes played at once by several agents.

    Attributes:
        right: Whether each step went right, shape (agents, episodes, steps).
        back: Whether it was in phase 2, of that shape.
        taken: Whether the episode was still going on, of that shape.
        reached: Whether the apple was reached, shape (agents, episodes).
        home: Whether the episode ended at home, of that shape.
    """

    right: np.ndarray
    back: np.ndarray
    taken: np.ndarray
    reached: np.ndarray
    home: np.ndarray


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function."""
    return 1 / (1 + np.exp(-logits))


def play(
    rights: tuple[np.ndarray, np.ndarray],
    distance: int,
    rng: np.random.Generator,
    *,
    only_back: bool = False,
    episodes: int = BATCH,
) -> Episodes:
    """Play episodes.

    Args:
        rights: Probability of going right in phase 1 and in phase 2, each of shape (agents,).
        distance: M, cells from home to the apple, at least 1.
        rng: Source of the actions.
        only_back: Start at the apple, in phase 2.
        episodes: Episodes of each agent.
    """
    shape = (len(rights[0]), episodes)
    back = np.full(shape, only_back)
    x, going = np.where(back, distance, 0), np.ones(shape, dtype=bool)
    record = np.zeros((3, *shape, LIMIT), dtype=bool)
    for step, luck in enumerate(rng.random((LIMIT, *shape))):
        right = luck < np.where(back, rights[1][:, None], rights[0][:, None])
        record[..., step] = right, back, going
        x = np.where(going, np.maximum(x + np.where(right, 1, -1), 0), x)
        going &= ~(back & (x == 0))
        back |= x == distance
        if not going.any():
            break
    return Episodes(
        right=record[0], back=record[1], taken=record[2], reached=back, home=back & (x == 0)
    )


def gradient(
    played: Episodes, rights: tuple[np.ndarray, np.ndarray], c: float
) -> tuple[np.ndarray, np.ndarray]:
    """REINFORCE: mean over episodes of the sum of grad log pi(step) * return from that step on.

    Returns:
        Gradients with respect to w and b, each of shape (agents,).
    """
    rewards = np.where(played.right != played.back, 1.0, -1.0) * played.taken
    to_go = rewards.copy()
    for step in range(LIMIT - 2, -1, -1):
        to_go[..., step] += DISCOUNT * to_go[..., step + 1]
    chance = np.where(played.back, rights[1][:, None, None], rights[0][:, None, None])
    score = (played.right - chance) * played.taken * to_go
    observed = np.where(played.back, c, -c)
    return ((score * observed).sum(-1).mean(-1), score.sum(-1).mean(-1))


def pretrain(c: float, distance: int, agents: int, rng: np.random.Generator) -> np.ndarray:
    """Train on phase 2 alone until it goes left with probability 0.95.

    Returns:
        w and b of each agent, shape (2, agents).
    """
    weights = np.zeros((2, agents))
    while (learning := (rights := chances(weights, c))[1] > 1 - PRETRAINED).any():
        played = play(rights, distance, rng, only_back=True)
        weights += RATE * learning * np.stack(gradient(played, rights, c))
    return weights


def chances(weights: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability of going right in phase 1 and in phase 2, each of shape (agents,)."""
    return sigmoid(weights[1] - c * weights[0]), sigmoid(weights[1] + c * weights[0])


def home_alone(right: np.ndarray, distance: int) -> np.ndarray:
    """Probability of getting from the apple home within the time limit, shape (agents,).

    Args:
        right: Probability of going right in phase 2, shape (agents,).
        distance: M.
    """
    at = np.zeros((len(right), distance + LIMIT + 2))
    at[:, distance] = 1.0
    for _ in range(LIMIT):
        after = np.zeros_like(at)
        after[:, 0] = at[:, 0]  # home is the end
        after[:, :-1] += at[:, 1:] * (1 - right[:, None])
        after[:, 2:] += at[:, 1:-1] * right[:, None]
        at = after
    return at[:, 0]
