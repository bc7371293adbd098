"""Inputs of the layers that train, for the minibatches of one update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rltransfer.engine.closed_form.network import Network
from rltransfer.engine.closed_form.tower import Tower, Workspace
from rltransfer.engine.records import Take

# Rows that are computed at once: their activations stay in the processor's cache.
CHUNK = 512


class Inputs:
    """Loads minibatches into both towers.

    Frozen layers at the bottom of a tower give the same in each epoch, so they are computed once
    for the whole rollout.

    Args:
        network: The towers.
        take: Gives features of rows.
        rows: Rows of the rollout.
        actor: First layer of the actor that trains, or its last layer.
        critic: The same of the critic.
    """

    def __init__(self, network: Network, take: Take, rows: int, actor: int, critic: int) -> None:
        self._network = network
        self._take = take
        self._starts = (actor, critic)
        state = network.state
        self._acted = self._below(network.actor, state.actor, 0, rows) if actor else None
        self._judged = self._below(network.critic, state.critic, 1, rows) if critic else None

    def load(self, rows: np.ndarray) -> tuple[Workspace, Workspace]:
        """Load a minibatch: workspaces of the actor and of the critic."""
        actor, critic = self._network.actor, self._network.critic
        acted, judged, (first, second) = self._acted, self._judged, self._starts
        if acted is not None and judged is not None:
            return actor.load(acted[rows], first), critic.load(judged[rows], second)
        for_actor, for_critic = self._take(rows)
        acting = actor.load(for_actor) if acted is None else actor.load(acted[rows], first)
        if judged is not None:
            return acting, critic.load(judged[rows], second)
        if acted is None and for_critic is for_actor:
            return acting, critic.borrow(acting)
        return acting, critic.load(for_critic)

    def _below(
        self, tower: Tower, weights: Sequence[np.ndarray], which: int, rows: int
    ) -> np.ndarray:
        """What the frozen layers give for every row, shape (rows, width)."""
        start = self._starts[which]
        found = np.empty((rows, tower.layers[start].shape[0] - 1), weights[0].dtype)
        for begin in range(0, rows, CHUNK):
            part = np.arange(begin, min(begin + CHUNK, rows))
            workspace = tower.load(self._take(part)[which])
            found[part] = tower.forward(weights, workspace, stop=start).T
        return found
