"""PPO that trains one policy on many tasks."""

from __future__ import annotations

from collections.abc import Mapping

from rltransfer.engine.multitask.runner import MultiTaskEngine
from rltransfer.training.multitask.mixin import MultiTaskMixin
from rltransfer.training.ppo import TransferPPO


class MultiTaskPPO(MultiTaskMixin, TransferPPO):
    """PPO (Schulman et al. 2017) for a multi-task policy on a :class:`MultiTaskVecEnv`.

    Each task has its own discount factor, standardized advantages and normalized returns; a
    minibatch has of each task what the rollout has of it. See :class:`MultiTaskMixin`.
    """

    _engine_class = MultiTaskEngine

    def _losses_by_task(self) -> Mapping[int, Mapping[str, float]]:
        last = self._running().last
        return last.by_task if last else {}

    def _log_tasks(self) -> None:
        super()._log_tasks()
        conflicts = self._running().conflicts
        if conflicts is not None:
            self.logger.record("train/gradient_conflicts", conflicts)
