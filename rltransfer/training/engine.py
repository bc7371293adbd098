"""SB3's PPO on the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.utils import explained_variance

from rltransfer.engine.options import EngineOptions
from rltransfer.engine.records import Settings, Statistics
from rltransfer.engine.report import report
from rltransfer.engine.runner import Engine, settings_of
from rltransfer.engine.terms import Terms
from rltransfer.errors import BadArgument
from rltransfer.heartbeat import beat


@contextmanager
def beating(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Give a sign of life at every step of an optimizer, for updates that are not our own code."""
    handle = optimizer.register_step_post_hook(lambda *_: beat())
    try:
        yield
    finally:
        handle.remove()


class ContribEngine:
    """For the algorithms of sb3-contrib, which train on their own code."""

    policy: Any

    def train(self) -> None:
        """Update the policy on the rollout buffer; see ``PPO.train``."""
        with beating(self.policy.optimizer):
            super().train()  # pyright: ignore[reportAttributeAccessIssue]

    def engine_report(self) -> str:
        """Say how this model acts and updates."""
        return "acts and updates by  sb3-contrib's own code"


class EnginePPO(PPO):
    """PPO (Schulman et al. 2017) with rollouts and updates by :mod:`rltransfer.engine`.

    Attributes:
        engine_options: Which of the engine's paths may be taken.
    """

    engine_options = EngineOptions()
    _engine_class: type[Engine] = Engine
    _engine: Any = None

    def engine_report(self) -> str:
        """Say how this model, as it is now, acts and updates, and why not faster."""
        return report(self, self._running())

    def collect_rollouts(
        self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """Collect a rollout; see ``OnPolicyAlgorithm.collect_rollouts``."""
        going_on = self._running().collect(env, callback, rollout_buffer, n_rollout_steps)
        if going_on is None:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        return going_on

    def train(self) -> None:
        """Update the policy on the rollout buffer; see ``PPO.train``."""
        engine = self._running()
        terms = self._terms()
        if not engine.can_train():
            if terms is not None:
                raise BadArgument(
                    "the recipe adds to PPO's loss, which Stable-Baselines3's own code cannot: "
                    "leave engine_options and the rollout buffer as they were"
                )
            with beating(self.policy.optimizer):
                super().train()
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        settings = settings_of(self, self._lr_scale())
        statistics = engine.train(settings, terms)
        self._n_updates += statistics.epochs
        self._log_update(statistics, settings)

    def _running(self) -> Any:
        if self._engine is None or self._engine.options is not self.engine_options:
            self._engine = self._engine_class(self, self.engine_options)
        return self._engine

    def _terms(self) -> Terms | None:
        """What is added to the loss of PPO."""
        return None

    def _lr_scale(self) -> Mapping[str, float]:
        """Factors on the learning rate by parameter name; 1 for those that are absent."""
        return {}

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_engine", "engine_options"]

    def _log_update(self, statistics: Statistics, settings: Settings) -> None:
        buffer, policy = self.rollout_buffer, self.policy
        values, returns = buffer.values.flatten(), buffer.returns.flatten()
        if statistics.stopped_at is not None and self.verbose >= 1:
            print(
                f"Early stopping at step {statistics.stopped_at} due to reaching max kl:"
                f" {statistics.kl:.2f}"
            )
        record = self.logger.record
        record("train/entropy_loss", statistics.entropy_loss)
        record("train/policy_gradient_loss", statistics.policy_loss)
        record("train/value_loss", statistics.value_loss)
        record("train/approx_kl", statistics.approx_kl)
        record("train/clip_fraction", statistics.clip_fraction)
        record("train/loss", statistics.loss)
        record("train/explained_variance", explained_variance(values, returns))
        if hasattr(policy, "log_std"):
            record("train/std", torch.exp(policy.log_std).mean().item())
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", settings.clip_range)
        if settings.clip_range_vf is not None:
            record("train/clip_range_vf", settings.clip_range_vf)
