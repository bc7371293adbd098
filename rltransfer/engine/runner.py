"""The engine of one model: picks the path of each rollout and each update, and takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.utils import obs_as_tensor

from rltransfer.engine import autograd
from rltransfer.engine.acting import Actor, ClosedFormActor, PolicyActor
from rltransfer.engine.closed_form import Learner, kernels
from rltransfer.engine.features import FeatureCache, FrontActor, FrozenFront
from rltransfer.engine.hooks import KINDS
from rltransfer.engine.options import MIB, EngineOptions
from rltransfer.engine.plan import Plan, choose, has_plain_observations, is_stock
from rltransfer.engine.records import Rollout, Settings, Statistics
from rltransfer.engine.rollout import collect
from rltransfer.engine.sources import ArraySource, ExtractorSource, FeatureSource
from rltransfer.engine.terms import Terms


class Engine:
    """Collects rollouts and updates the policy of a PPO model.

    Args:
        model: A ``stable_baselines3.PPO``.
        options: Which paths may be taken.

    Attributes:
        options: The same.
        notes: What the last update could not do as asked.
    """

    def __init__(self, model: Any, options: EngineOptions) -> None:
        self.options = options
        self.notes: list[str] = []
        self._model = model
        self._parts: tuple[Any, ...] = ()
        self._trains: tuple[Any, ...] = ()
        self._front: FrozenFront | None = None
        self._learner: Learner | None = None
        self._source: FeatureSource | None = None
        self._cache: FeatureCache | None = None

    def forget(self) -> None:
        """Be as one that has yet to look at its model: between two rollouts, no number changes."""
        self._parts, self._trains = (), ()
        self._front = self._learner = self._source = self._cache = None

    def __reduce__(self) -> Any:
        """Copy and pickle as an engine that has yet to look at its model."""
        return type(self), (self._model, self.options)

    def plan(self) -> Plan:
        """Choose the path for the model as it is now."""
        return choose(self._model, self.options, self._look())

    @property
    def compiled(self) -> bool:
        """Whether closed form uses numba."""
        asked = self.options.compiled
        return kernels.available() if asked is None else asked

    @property
    def frozen(self) -> str:
        """Which layers of the features extractor are computed once; empty for none."""
        front = self._look()
        return "" if front is None else front.description

    def collect(self, env: Any, callback: Any, buffer: Any, n_steps: int) -> bool | None:
        """Collect a rollout.

        Returns:
            What SB3's ``collect_rollouts`` returns; None if SB3's own code is to do it.
        """
        self._source = self._cache = None
        if is_stock(self._model, self.options) or buffer is not self._model.rollout_buffer:
            return None
        return collect(self._model, env, callback, buffer, n_steps, self._new_actor)

    def can_train(self) -> bool:
        """Tell whether ``train`` updates on the rollout buffer, rather than SB3's own code."""
        buffer = self._model.rollout_buffer
        stock = is_stock(self._model, self.options)
        return not stock and buffer.full and not buffer.generator_ready

    def train(self, settings: Settings, terms: Terms | None = None) -> Statistics:
        """Update the policy on the rollout buffer; the optimizer's learning rate is set already.

        Args:
            settings: Hyperparameters of this moment.
            terms: What is added to the loss; torch's autograd where closed form cannot.
        """
        model, buffer, plan = self._model, self._model.rollout_buffer, self.plan()
        self.notes.clear()
        rollout = _rollout(buffer)
        if plan.path == "closed_form" and (terms is None or terms.closed):
            source = self._source or self._new_source()
            take = source.reader(buffer.observations)
            return self._closed_form().train(take, rollout, settings, terms)
        return autograd.train(
            model.policy,
            model.policy.optimizer,
            buffer.observations,
            rollout,
            settings,
            # Terms look at the observations themselves.
            None if terms else self._cache,
            cuda_graph=self.options.cuda_graph and model.device.type == "cuda",
            notes=self.notes,
            terms=terms,
        )

    def _look(self) -> FrozenFront | None:
        """Look at the policy as it is now, and start anew where it is not what it was."""
        policy = self._model.policy
        parts = _parts_of(policy)
        trains = tuple((id(p), p.requires_grad) for p in policy.parameters())
        if parts != self._parts:
            # Of another policy, or one with other layers: what was computed says nothing of it.
            self._source = self._cache = None
        if (parts, trains) != (self._parts, self._trains):
            self._parts, self._trains = parts, trains
            self._learner = None
            self._front = FrozenFront.of(policy, _example(self._model))
        return self._front

    def _new_actor(self) -> Actor:
        policy, plan = self._model.policy, self.plan()
        if plan.path == "closed_form":
            self._source = self._new_source()
            return ClosedFormActor(self._closed_form(), self._source)
        if plan.path == "stock" or self._front is None or not self.options.cache_mib:
            return PolicyActor(policy)
        self._cache = self._new_cache(self._front)
        return FrontActor(policy, self._front, self._cache)

    def _closed_form(self) -> Learner:
        if self._learner is None:
            policy = self._model.policy
            self._learner = Learner(policy, policy.optimizer, compiled=self.compiled)
        return self._learner

    def _new_source(self) -> FeatureSource:
        policy = self._model.policy
        if has_plain_observations(self._model):
            return ArraySource(next(policy.parameters()).detach().numpy().dtype)
        return ExtractorSource(policy, self._front, self._new_cache)

    def _new_cache(self, front: FrozenFront) -> FeatureCache:
        buffer = self._model.rollout_buffer
        limit = int(self.options.cache_mib * MIB)
        self._cache = FeatureCache(front, buffer.buffer_size, buffer.n_envs, limit)
        return self._cache


def _parts_of(policy: Any) -> tuple[Any, ...]:
    """What a policy computes with, besides parameters; held, so that identities stay."""
    # Keys of hooks are never given twice.
    hooks = (tuple(getattr(module, kind)) for module in policy.modules() for kind in KINDS)
    distribution = getattr(policy, "action_dist", None)
    return (*policy.modules(), distribution, policy.optimizer, *hooks)


def _example(model: Any) -> Any:
    """Two observations of the right shape, to see which modules an extractor runs."""
    space = model.observation_space
    if isinstance(space, spaces.Dict):
        zeros: Any = {key: _zeros(part) for key, part in space.spaces.items()}
    else:
        zeros = _zeros(space)
    return obs_as_tensor(zeros, model.device)


def _zeros(space: spaces.Space) -> np.ndarray:
    return np.zeros((2, *(space.shape or ())), space.dtype)


def _rollout(buffer: Any) -> Rollout:
    steps, envs = buffer.buffer_size, buffer.n_envs

    def permutation() -> np.ndarray:
        # SB3 shuffles rows that are sorted by environment; ours are sorted by time.
        shuffled = np.random.permutation(steps * envs)
        return shuffled % steps * envs + shuffled // steps

    return Rollout(
        actions=buffer.actions.reshape(steps * envs, -1),
        old_log_prob=buffer.log_probs.reshape(-1),
        old_values=buffer.values.reshape(-1),
        advantages=buffer.advantages.reshape(-1),
        returns=buffer.returns.reshape(-1),
        permutation=permutation,
    )


def settings_of(model: Any, lr_scale: Mapping[str, float]) -> Settings:
    """Read the hyperparameters of a PPO model for one update; schedules are asked once.

    Args:
        model: The algorithm; the learning rate is read from its optimizer.
        lr_scale: Factors on the learning rate by parameter name; 1 for those that are absent.
    """
    progress = model._current_progress_remaining
    clip_values = model.clip_range_vf
    return Settings(
        batch_size=model.batch_size or model.rollout_buffer.buffer_size * model.n_envs,
        n_epochs=model.n_epochs,
        clip_range=model.clip_range(progress),
        clip_range_vf=None if clip_values is None else clip_values(progress),
        normalize_advantage=model.normalize_advantage,
        ent_coef=model.ent_coef,
        vf_coef=model.vf_coef,
        max_grad_norm=model.max_grad_norm,
        target_kl=model.target_kl,
        learning_rate=model.policy.optimizer.param_groups[0]["lr"],
        lr_scale=lr_scale,
    )
