"""PPO, MaskablePPO and RecurrentPPO that train by layer group.

Each is an ordinary subclass with the same constructor and the same save format: a zip saved here
loads and trains on in the plain class, without rltransfer.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from rltransfer.agents.files import atomic_write
from rltransfer.agents.numbers import check_steps
from rltransfer.agents.sb3 import export
from rltransfer.errors import BadArgument
from rltransfer.training.divergence import divergence_named, require_finite
from rltransfer.training.engine import ContribEngine, EnginePPO
from rltransfer.training.guides import Guide, shaping_of
from rltransfer.training.plasticity import due, plasticity
from rltransfer.training.terms import Working
from rltransfer.training.threads import few_threads
from rltransfer.training.transfer_state import Transfer
from rltransfer.vec import normalization_of, out_of_bounds


class TransferMixin(OnPolicyAlgorithm):
    """Training by layer group, for any on-policy algorithm of SB3 and sb3-contrib."""

    transfer: Transfer | None = None

    def learn(self, total_timesteps: int, *args: Any, **kwargs: Any) -> Any:
        """Train for a number of environment steps; see ``PPO.learn``.

        Steps that were spent on probing the target before learning count, and those in which a
        source began the learner's episodes.

        Raises:
            BadArgument: ``total_timesteps`` is not a positive integer, or was spent already.
            Diverged: A loss, gradient, weight or output of the policy is not finite.
        """
        check_steps(total_timesteps)
        spent = self.transfer.spent if self.transfer else 0
        if spent >= total_timesteps:
            raise BadArgument(
                f"steps is {total_timesteps}, but trying the source on the target took {spent}, "
                "which count: give more steps, or name a recipe that tries nothing, such as 'full'"
            )
        with few_threads(self.policy.parameters()), divergence_named(self):
            return super().learn(int(total_timesteps), *args, **kwargs)

    def save(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """Save a zip that the plain algorithm loads, whole or not at all.

        Normalization statistics are written beside it, as ``NAME.vecnormalize.pkl`` in SB3's own
        format, since SB3's zip has no place for them.

        Raises:
            NotWritable: The folder does not exist or cannot be written.
        """
        self._restore_optimizer()
        if isinstance(path, io.IOBase):
            super().save(path, *args, **kwargs)  # pyright: ignore[reportArgumentType]
            return
        target = Path(path)
        target = target if target.suffix else target.with_suffix(".zip")
        content = io.BytesIO()
        super().save(content, *args, **kwargs)
        normalization = normalization_of(self)
        # Statistics first: a zip that is there is complete, and has no others beside it.
        statistics = target.with_suffix(".vecnormalize.pkl")
        if normalization is None:
            export.remove(statistics)
        else:
            export.write_vecnormalize(
                statistics, normalization, self.observation_space, self.action_space
            )
        atomic_write(target, content.getvalue())

    def train(self) -> None:
        """Update the policy on the rollout buffer, or spend the rollout on something else.

        Raises:
            Diverged: A loss, gradient or weight is not finite.
        """
        terms = self._terms()
        taken = terms.take(self) if terms else None
        if taken is not None:
            require_finite(self)
            self._log_methods(taken)
            return
        refit = self.transfer.refit if self.transfer else None
        if self.transfer and refit is not None:
            if refit.consume(self):
                self.logger.record("transfer/critic_fit", refit.explained_variance)
                self.transfer.refit = None
            require_finite(self)
            return
        if terms:
            terms.begin(self)
        try:
            super().train()
        finally:
            self._restore_optimizer()
        require_finite(self)
        if terms:
            self._log_methods(terms.end())
        self._log_transfer()

    def _log_methods(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.logger.record(f"transfer/{name}", value)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        if self._guide():
            # Its steps may exceed the budget, and schedules would go below their end.
            self._current_progress_remaining = max(0.0, self._current_progress_remaining)

    def _update_learning_rate(self, optimizers: Any) -> None:
        super()._update_learning_rate(optimizers)
        if self.transfer:
            self.transfer.scheduler.advance(1.0 - self._current_progress_remaining)

    def dump_logs(self, iteration: int = 0) -> None:
        """Write the log, with the number of observations that left their bounds, if any did."""
        count = out_of_bounds(self.env)
        if count:
            self.logger.record("rollout/out_of_bounds", count)
        super().dump_logs(iteration)

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        """Collect a rollout; see ``OnPolicyAlgorithm.collect_rollouts``."""
        terms = self._terms()
        if terms:
            terms.rollout_begins(self)
        guide = self._guide()
        if guide:
            guide.left = self._total_timesteps - self.num_timesteps - self.n_steps * self.n_envs
        going_on = super().collect_rollouts(*args, **kwargs)
        if guide:
            self._count_guide(guide)
        shaping = shaping_of(self.env)
        if shaping:
            self._log_methods({f"shaping/{name}": value for name, value in shaping.log().items()})
        return going_on

    def _count_guide(self, guide: Guide) -> None:
        self.num_timesteps += guide.charge()
        guide.horizon.advance(self.num_timesteps / self._total_timesteps)
        for name, value in guide.log().items():
            self.logger.record(f"transfer/jump_start/{name}", value)

    def _guide(self) -> Guide | None:
        return self.transfer.guide if self.transfer else None

    def _terms(self) -> Working | None:
        return self.transfer.terms if self.transfer else None

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: Any = None) -> None:
        super()._update_info_buffer(infos, dones)
        if self.transfer and self.transfer.refit:
            self.transfer.refit.observe(infos)
        if self.transfer and self.transfer.terms:
            self.transfer.terms.observe(self)

    def _setup_learn(self, total_timesteps: int, *args: Any, **kwargs: Any) -> Any:
        guide = self._guide()
        if self.transfer and guide:
            # For the episodes that begin before the first rollout.
            guide.left = total_timesteps - self.transfer.spent - self.n_steps * self.n_envs
        prepared = super()._setup_learn(total_timesteps, *args, **kwargs)
        if self.transfer:
            self.num_timesteps += self.transfer.spent
            self._num_timesteps_at_start += self.transfer.spent  # no part of the speed
            self.transfer.spent = 0
        return prepared

    def _lr_scale(self) -> Mapping[str, float]:
        return self.transfer.scheduler.lr_scale if self.transfer else {}

    def _restore_optimizer(self) -> None:
        """After an interrupted step, the optimizer may still have one group per learning rate."""
        if self.transfer:
            self.transfer.scheduler.restore(self.policy.optimizer)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "transfer"]

    def _log_transfer(self) -> None:
        if self.transfer is None:
            return
        scheduler = self.transfer.scheduler
        base = self.lr_schedule(self._current_progress_remaining)
        withheld = self.transfer.terms.withheld if self.transfer.terms else 0
        self.logger.record("transfer/trainable_params", scheduler.trainable - withheld)
        for name in scheduler.plans:
            self.logger.record(f"transfer/lr/{name}", scheduler.rate(name, base))
        for name, distance in self.transfer.drift(self.policy).items():
            self.logger.record(f"transfer/drift/{name}", distance)


class TransferPPO(TransferMixin, EnginePPO):
    """PPO (Schulman et al. 2017) that trains by layer group, on :mod:`rltransfer.engine`."""

    def _log_transfer(self) -> None:
        super()._log_transfer()
        if self.transfer and due(self):
            for name, value in plasticity(self).items():
                self.logger.record(f"transfer/plasticity/{name}", value)


class TransferMaskablePPO(TransferMixin, ContribEngine, MaskablePPO):
    """PPO with invalid-action masks (Huang & Ontanon 2022) that trains by layer group."""


class TransferRecurrentPPO(TransferMixin, ContribEngine, RecurrentPPO):
    """PPO with an LSTM policy that trains by layer group."""


TRANSFER_ALGORITHMS: Mapping[str, type[TransferMixin]] = {
    "ppo": TransferPPO,
    "maskable_ppo": TransferMaskablePPO,
    "recurrent_ppo": TransferRecurrentPPO,
}
