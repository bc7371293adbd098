"""What algorithms that train one policy on many tasks have in common."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.errors import BadArgument
from rltransfer.policies.conditioning import Embedding
from rltransfer.training.multitask.sampling import LearningProgress, divide
from rltransfer.training.ppo import TransferMixin
from rltransfer.vec.multitask import MultiTaskVecEnv

# Episodes of a task whose mean is logged, as many as SB3 takes.
RECENT = 100


class MultiTaskMixin(TransferMixin):
    """Training of a multi-task policy on a :class:`MultiTaskVecEnv`.

    Attributes:
        multitask_options: How tasks are weighed against each other.
        progress_sampling: Gives environments to tasks by learning progress; None to leave them
            where they are.
    """

    multitask_options = MultiTaskOptions()
    progress_sampling: LearningProgress | None = None
    _returns: dict[str, deque[float]]
    _new_returns: dict[str, list[float]]

    @property
    def tasks_env(self) -> MultiTaskVecEnv:
        """The environments.

        Raises:
            BadArgument: They are not of many tasks.
        """
        env = self.get_env()
        if not isinstance(env, MultiTaskVecEnv):
            raise BadArgument(
                f"{type(self).__name__} trains on a MultiTaskVecEnv, and has {type(env).__name__}: "
                "make it with rltransfer.fresh_multitask, or use PPO for one task"
            )
        return env

    def collect_rollouts(
        self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """Collect a rollout; see ``OnPolicyAlgorithm.collect_rollouts``."""
        self._new_returns = {}
        tasks = self.tasks_env
        gammas = np.array([task.gamma for task in tasks.tasks], np.float32)
        rollout_buffer.gamma = gammas[tasks.task_of_row]
        going_on = self._collect(env, callback, rollout_buffer, n_rollout_steps)
        if going_on and self.progress_sampling is not None:
            self._sample_anew(self.progress_sampling)
        return going_on

    def _collect(self, env: Any, callback: Any, buffer: Any, n_steps: int) -> bool:
        """Collect a rollout into a buffer that has a discount factor for each environment."""
        return super().collect_rollouts(env, callback, buffer, n_steps)

    def train(self) -> None:
        """Update the policy on the rollout buffer."""
        with _kept_embeddings(self.policy, self.rollout_buffer.observations):
            super().train()
        self._follow_observations()
        self._log_tasks()

    def _excluded_save_params(self) -> list[str]:
        own = ["multitask_options", "progress_sampling", "_returns", "_new_returns"]
        return [*super()._excluded_save_params(), *own]

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: Any = None) -> None:
        super()._update_info_buffer(infos, dones)
        for row in np.flatnonzero(dones).tolist():
            episode = infos[row].get("episode")
            if episode is not None:
                id = infos[row]["task"]
                known = vars(self).setdefault("_returns", {})
                known.setdefault(id, deque(maxlen=RECENT)).append(episode["r"])
                self._new_returns.setdefault(id, []).append(episode["r"])

    def _sample_anew(self, sampling: LearningProgress) -> None:
        """Move environments to the tasks that learn most, between two rollouts."""
        if not sampling.observe(self._new_returns):
            return
        env = self.tasks_env
        index = {task.id: i for i, task in enumerate(env.tasks)}
        wanted = [0] * len(env.tasks)  # tasks that are not sampled, and not played, get none
        for id, count in zip(
            sampling.ids, divide(sampling.weights(), len(env.blocks)), strict=True
        ):
            wanted[index[id]] = count
        rows, first = env.assign(_moved([block.task for block in env.blocks], wanted))
        last: Any = self._last_obs
        last[rows] = first
        self._last_episode_starts[rows] = True  # pyright: ignore[reportOptionalSubscript]
        self.policy.reset_noise()

    def _follow_observations(self) -> None:
        """Let the statistics of trained encoders follow what was observed."""
        policy: Any = self.policy
        if not len(policy.observation_stats):
            return
        packed = self.rollout_buffer.observations.reshape(-1, policy.packing.width)
        tasks = packed[:, 0].astype(np.int64)
        for name, stats in policy.observation_stats.items():
            encoder = policy.actor.encoders[name]
            users = [i for i, task in enumerate(policy.tasks) if task.encoder == name]
            rows = np.isin(tasks, users)
            if rows.any() and all(p.requires_grad for p in encoder.parameters()):
                stats.update(packed[rows, 1 : 1 + len(stats.mean)])

    def _losses_by_task(self) -> Mapping[int, Mapping[str, float]]:
        """Losses of the last update by task index and name."""
        return {}

    def _log_tasks(self) -> None:
        policy: Any = self.policy
        played = self.rollout_buffer.observations.reshape(-1, policy.packing.width)[:, 0]
        rows = np.bincount(played.astype(np.int64), minlength=len(policy.tasks)) / len(played)
        losses = self._losses_by_task()
        record = self.logger.record
        for index, task in enumerate(policy.tasks):
            if not rows[index]:
                continue
            head = policy.value_heads[task.key]
            record(f"{task.id}/share_of_steps", float(rows[index]))
            record(f"{task.id}/return_mean", head.mean.item())
            record(f"{task.id}/return_std", head.std.item())
            recent = vars(self).get("_returns", {}).get(task.id)
            if recent:
                record(f"{task.id}/ep_rew_mean", float(np.mean(recent)))
            for name, value in losses.get(index, {}).items():
                if not math.isnan(value):  # no row of it in the epoch that ended the update
                    record(f"{task.id}/{name}", value)


@contextmanager
def _kept_embeddings(policy: Any, observations: np.ndarray) -> Iterator[None]:
    """Keep what the trunk is told of tasks that have no row in a rollout.

    All embeddings are one parameter: moments of before, and weight decay, would move them too.

    Args:
        policy: The policy, which is updated meanwhile.
        observations: Packed ones of the rollout.
    """
    if not isinstance(policy.context, Embedding):
        yield
        return
    table = policy.context.table.weight
    idle = np.setdiff1d(np.arange(len(table)), observations[..., 0].astype(np.int64))
    state = policy.optimizer.state
    parts = [table, *(p for p in state.get(table, {}).values() if p.shape == table.shape)]
    kept = [part.detach()[idle].clone() for part in parts]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, rows in zip(parts, kept, strict=True):
                part[idle] = rows


def _moved(tasks: list[int], wanted: list[int]) -> list[int]:
    """Give blocks to tasks so that as few as possible change."""
    left, moved = list(wanted), list(tasks)
    free = []
    for i, task in enumerate(tasks):
        if left[task]:
            left[task] -= 1
        else:
            free.append(i)
    missing = [task for task, count in enumerate(left) for _ in range(count)]
    for i, task in zip(free, missing, strict=True):
        moved[i] = task
    return moved
