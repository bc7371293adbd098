"""Acting by a policy that stays as it is, as ``policy.predict`` does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rltransfer.engine.closed_form.heads import head_of
from rltransfer.engine.closed_form.kernels import kernels
from rltransfer.engine.closed_form.layout import Layout
from rltransfer.engine.closed_form.tower import Tower, Workspace


class Predictor:
    """The actor of a plain MLP policy of Stable-Baselines3, in numpy, with the weights of now.

    Args:
        policy: A policy for which :func:`cannot_act` has no objection, and whose features are its
            observations.
        deterministic: The most likely action, not a sample.
    """

    def __init__(self, policy: Any, *, deterministic: bool) -> None:
        self._policy = policy
        self._deterministic = deterministic
        chosen = kernels(compiled=False)  # the losses alone are worth compiling
        layout = Layout(policy)
        weights = np.zeros(layout.size, layout.dtype)
        layout.read(layout.views(weights))
        self._weights = [layer.of(weights) for layer in layout.actor]
        self._log_std = layout.log_std_of(weights)
        self._tower = Tower(layout.actor, layout.dtype, chosen)
        self._head = None if policy.use_sde else head_of(policy, layout.dtype, chosen)
        space = policy.action_space
        self._shape = (-1, *space.shape)
        self._bounds = (space.low, space.high) if isinstance(space, spaces.Box) else None

    def predict(self, observations: np.ndarray) -> np.ndarray | None:
        """Choose actions, with the same use of torch's generator as ``policy.predict``.

        Args:
            observations: Shape (rows, *observation shape).

        Returns:
            New actions within their bounds, shape (rows, *action shape), equal to the policy's up
            to rounding. None, and nothing was drawn, where the policy's distribution may refuse
            its parameters: let it say so itself.
        """
        with np.errstate(all="ignore"):
            workspace = self._tower.load(observations.reshape(len(observations), -1))
            outputs = self._tower.forward(self._weights, workspace)
            if not math.isfinite(workspace.flat_outputs.dot(workspace.flat_outputs)):
                return None
            actions = self._choose(workspace, outputs).reshape(self._shape)
        if self._bounds is None:
            return actions
        low, high = self._bounds
        return np.minimum(np.maximum(actions, low), high)

    def _choose(self, workspace: Workspace, outputs: np.ndarray) -> np.ndarray:
        if self._head is None:
            return outputs.T if self._deterministic else outputs.T + self._noise(workspace)
        if self._deterministic:
            return self._head.mode(outputs)
        return self._head.sample(outputs, self._log_std)

    def _noise(self, workspace: Workspace) -> np.ndarray:
        """Noise of gSDE, shape (rows, actions): each row's features through its own matrix."""
        latent, distribution = workspace.inputs[-1][:-1].T, self._policy.action_dist
        if len(latent) == 1 or len(latent) != len(distribution.exploration_matrices):
            return latent @ distribution.exploration_mat.detach().numpy()
        matrices = distribution.exploration_matrices.detach().numpy()
        return np.matmul(latent[:, None], matrices)[:, 0]
