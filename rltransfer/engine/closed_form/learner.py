"""Acting with, and updating, an actor-critic MLP."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rltransfer.engine.closed_form.heads import head_of
from rltransfer.engine.closed_form.inputs import CHUNK
from rltransfer.engine.closed_form.kernels import kernels
from rltransfer.engine.closed_form.layout import Layout
from rltransfer.engine.closed_form.network import Network
from rltransfer.engine.closed_form.update import Update
from rltransfer.engine.records import Rollout, Settings, Statistics, Take
from rltransfer.engine.terms import Terms


class Learner:
    """A plain MLP policy of Stable-Baselines3, in numpy.

    Args:
        policy: A policy for which :func:`unsupported` has no objection.
        optimizer: Its ``torch.optim.Adam``.
        compiled: Whether the innermost loops are numba's.
    """

    def __init__(self, policy: Any, optimizer: Any, *, compiled: bool) -> None:
        self._optimizer = optimizer
        chosen = kernels(compiled=compiled)
        layout = Layout(policy)
        self._network = Network(layout, head_of(policy, layout.dtype, chosen), chosen)
        self.read()

    def read(self) -> None:
        """Take the weights, and nothing else, from the policy."""
        self._network.layout.read(self._network.state.views[0])  # an update reads for itself

    def act(self, pi_features: np.ndarray) -> np.ndarray:
        """Draw actions, with the same use of torch's generator as ``policy.forward``.

        Args:
            pi_features: Features of the actor, shape (n, features).

        Returns:
            Actions, shape (n, *action shape): int64 for Discrete and MultiDiscrete, otherwise of
            the parameters' type.

        Raises:
            ValueError: The actor's outputs are not numbers.
        """
        network = self._network
        with np.errstate(all="ignore"):
            workspace = network.actor.load(pi_features)
            outputs = network.actor.forward(network.state.actor, workspace)
            if not math.isfinite(workspace.flat_outputs.dot(workspace.flat_outputs)):
                network.check(outputs)
            return network.head.sample(outputs, network.state.log_std)

    def predict_values(self, vf_features: np.ndarray) -> np.ndarray:
        """Values, shape (rows,), of the critic's features, shape (rows, features)."""
        critic, weights = self._network.critic, self._network.state.critic
        values = np.empty(len(vf_features), self._network.layout.dtype)
        with np.errstate(all="ignore"):
            for start in range(0, len(values), CHUNK):
                workspace = critic.load(vf_features[start : start + CHUNK])
                values[start : start + CHUNK] = critic.forward(weights, workspace)[0]
        return values

    def log_prob(self, pi_features: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probabilities of actions.

        Args:
            pi_features: Features of the actor, shape (rows, features).
            actions: As a rollout buffer holds them, shape (rows, dims).

        Returns:
            Shape (rows,).
        """
        network = self._network
        prepared, state = network.head.prepare(actions), network.state
        found = np.empty(len(prepared), network.layout.dtype)
        with np.errstate(all="ignore"):
            for start in range(0, len(found), CHUNK):
                rows = slice(start, start + CHUNK)
                workspace = network.actor.load(pi_features[rows])
                outputs = network.actor.forward(state.actor, workspace)
                found[rows] = network.head.log_prob(outputs, state.log_std, prepared[rows])
        return found

    def train(
        self, take: Take, rollout: Rollout, settings: Settings, terms: Terms | None = None
    ) -> Statistics:
        """Update policy and optimizer as ``PPO.train`` of Stable-Baselines3 does.

        Both hold the result of whole minibatches, also when an exception or Ctrl-C ends it.

        Args:
            take: Gives the features of actor and critic for rows of the rollout, each of shape
                (rows, features); the same object twice where they share features.
            rollout: What was collected.
            settings: Hyperparameters.
            terms: What is added to the loss, all of it closed; None for nothing.

        Raises:
            ValueError: The actor's outputs are not numbers.
        """
        return Update(self._network, self._optimizer, rollout, settings, terms).run(take)
