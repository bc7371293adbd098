"""One actor-critic policy for many tasks: their own encoders and heads around a shared trunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rltransfer.errors import BadArgument
from rltransfer.policies.by_task import PolicyByTask


class MultiTaskPolicy(PolicyByTask):
    """An actor-critic policy over the packed spaces of several tasks.

    Each row of a batch belongs to the task that its first number names. It goes through that task's
    encoder, the trunk, and that task's heads; log probability and entropy are those of the task's
    own action. With one task it is an ordinary policy. Layer groups and arguments are those of
    :class:`rltransfer.policies.networks.TaskNetworks`.
    """

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Act, for a rollout.

        Args:
            obs: Packed observations, shape (n, 1 + P).
            deterministic: Whether to take the most likely actions.

        Returns:
            Packed actions (n, A), values in units of each task's return (n, 1), and log
            probabilities (n,).
        """
        batch = self._sorted(obs)
        acting, judging = self._features(batch)
        actions = self._act(batch, acting, deterministic=deterministic, explore=True)
        log_prob, _ = self._evaluate(batch, acting, actions)
        values = self._values(batch, judging, normalized=False)
        return batch.unsorted(actions), batch.unsorted(values)[:, None], batch.unsorted(log_prob)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate packed actions; see ``ActorCriticPolicy.evaluate_actions``.

        Returns:
            Values (n, 1) in units of each task's return, log probabilities (n,) and entropies (n,).
        """
        values, log_prob, entropy = self._evaluated(obs, actions, normalized=False)
        return values[:, None], log_prob, entropy

    def evaluate_normalized(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate packed actions; values, shape (n,), are normalized, as their heads give them."""
        return self._evaluated(obs, actions, normalized=True)

    def predict_values(self, obs: Any) -> Tensor:
        """Values of packed observations, shape (n, 1), in units of each task's return."""
        batch = self._sorted(obs)
        _, judging = self._features(batch, actor=False)
        return batch.unsorted(self._values(batch, judging, normalized=False))[:, None]

    def get_distribution(self, obs: Any) -> Any:
        """Not available: rows of one batch have distributions of several kinds.

        Raises:
            BadArgument: Always; it names what to call instead.
        """
        raise BadArgument(
            "a multi-task policy has one action distribution per task: use evaluate_actions() or "
            "predict(), or agent.for_task(id) for a policy of one task"
        )

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        batch = self._sorted(observation)
        acting, _ = self._features(batch, critic=False)
        actions = self._act(batch, acting, deterministic=deterministic, explore=False)
        return batch.unsorted(actions)

    def act(
        self,
        id: str,
        observations: Any,
        *,
        masks: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> np.ndarray:
        """Choose actions for observations of one task, each in the task's own space.

        Args:
            id: The task.
            observations: Shape (n, ...), or a dict of such.
            masks: Valid actions, shape (n, flags), if the task has masks.
            deterministic: Whether to take the most likely actions.

        Returns:
            Actions, shape (n, *action shape).

        Raises:
            UnknownName: The policy has no such task.
            SpaceMismatch: The observations are not of the task's space.
        """
        index = self.index(id)
        packed = self.packing.observations(index, observations, masks)
        with torch.no_grad():
            chosen = self._predict(torch.as_tensor(packed, device=self.device), deterministic)
        return self.packing.actions(index, chosen.cpu().numpy())

    def _evaluated(
        self, obs: Tensor, actions: Tensor, *, normalized: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = self._sorted(obs)
        acting, judging = self._features(batch)
        log_prob, entropy = self._evaluate(batch, acting, batch.sorted(actions))
        values = self._values(batch, judging, normalized=normalized)
        return batch.unsorted(values), batch.unsorted(log_prob), batch.unsorted(entropy)
