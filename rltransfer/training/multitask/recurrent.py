"""RecurrentPPO that trains one policy with memory on many tasks."""

from __future__ import annotations

from typing import Any

from rltransfer.engine.multitask.rollout import prepare
from rltransfer.engine.multitask.sequences import TaskSequences, collect
from rltransfer.errors import BadArgument
from rltransfer.training.multitask.mixin import MultiTaskMixin
from rltransfer.training.ppo import TransferRecurrentPPO


class MultiTaskRecurrentPPO(MultiTaskMixin, TransferRecurrentPPO):
    """RecurrentPPO for a :class:`rltransfer.policies.recurrent.MultiTaskLstmPolicy`.

    As in :class:`rltransfer.training.multitask.MultiTaskPPO`, each task has its own discount
    factor, standardized advantages and normalized returns, and a minibatch has of each task what
    the rollout has of it. The update itself is sb3-contrib's: what it logs of values is in
    normalized units, losses are not told apart by task, and there is no PCGrad.

    Raises:
        BadArgument: On ``learn`` with ``multitask_options.gradient="pcgrad"``.
    """

    def train(self) -> None:
        """Update the policy on the rollout buffer, which is left in normalized units."""
        self._normalize()
        policy: Any = self.policy
        asked, self.normalize_advantage = self.normalize_advantage, False
        try:
            with policy.normalized_values():
                super().train()
        finally:
            self.normalize_advantage = asked

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "engine_options"]

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        if self.multitask_options.gradient != "mean":
            raise BadArgument(
                f"gradient is {self.multitask_options.gradient!r}, and policies with memory train "
                "on sb3-contrib's update, which has the mean alone: give gradient='mean'"
            )
        return super()._setup_learn(*args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        buffer: Any = self.rollout_buffer
        self.rollout_buffer = TaskSequences(
            self.n_steps,
            self.observation_space,
            self.action_space,
            buffer.hidden_state_shape,
            self.device,
            gamma=self.gamma,
            gae_lambda=self.gae_lambda,
            n_envs=self.n_envs,
        )

    def _collect(self, env: Any, callback: Any, buffer: Any, n_steps: int) -> bool:
        return collect(self, env, callback, buffer, n_steps)

    def _normalize(self) -> None:
        """Bring values, returns and advantages of the rollout buffer into normalized units."""
        buffer = self.rollout_buffer
        ready = prepare(self, self.multitask_options).rollout
        shape = buffer.values.shape
        buffer.values = ready.old_values.reshape(shape)
        buffer.returns = ready.returns.reshape(shape)
        buffer.advantages = ready.advantages.reshape(shape)
