"""The engine of a multi-task model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from rltransfer.engine import autograd
from rltransfer.engine.acting import Actor, PolicyActor
from rltransfer.engine.multitask import closed_form
from rltransfer.engine.multitask.acting import MultiTaskActor
from rltransfer.engine.multitask.gradient import MultiTaskGradient
from rltransfer.engine.multitask.options import MultiTaskOptions
from rltransfer.engine.multitask.records import MultiTaskStatistics
from rltransfer.engine.multitask.rollout import MultiTaskRollout, prepare
from rltransfer.engine.plan import Plan
from rltransfer.engine.records import Settings, Statistics
from rltransfer.engine.rollout import collect
from rltransfer.engine.runner import Engine
from rltransfer.engine.terms import Terms


class MultiTaskEngine(Engine):
    """Collects rollouts of many tasks and updates their policy.

    Args:
        model: A PPO with a multi-task policy, whose ``multitask_options`` are followed.
        options: Which paths may be taken.

    Attributes:
        last: Losses of the last update, by task.
        conflicts: Fraction of pairs of tasks whose gradients were in conflict in the last update;
            None without PCGrad.
    """

    def __init__(self, model: Any, options: Any) -> None:
        super().__init__(model, options)
        self.last: MultiTaskStatistics | None = None
        self.conflicts: float | None = None
        self._multitask: closed_form.MultiTaskLearner | None = None

    def forget(self) -> None:
        """Be as one that has yet to look at its model."""
        super().forget()
        self._multitask = None

    def plan(self) -> Plan:
        """Choose the path for the model as it is now."""
        reason = self._not_closed_form()
        if reason is None:
            return Plan(path="closed_form")
        return Plan(path="autograd", why=(("closed_form", reason),))

    @property
    def frozen(self) -> str:
        """Which layers are computed once: none."""
        return ""

    def collect(self, env: Any, callback: Any, buffer: Any, n_steps: int) -> bool | None:
        """Collect a rollout; never by SB3's code, which knows one discount factor alone."""
        return collect(self._model, env, callback, buffer, n_steps, self._new_actor)

    def can_train(self) -> bool:
        """Tell whether ``train`` updates on the rollout buffer: always."""
        return True

    def train(self, settings: Settings, terms: Terms | None = None) -> Statistics:
        """Update the policy on the rollout buffer; see :meth:`Engine.train`."""
        self.notes.clear()
        options: MultiTaskOptions = self._model.multitask_options
        ready = prepare(self._model, options)
        settings = replace(settings, normalize_advantage=False)
        if self.plan().path == "closed_form":
            self.conflicts = None
            learner = self._learned()
            self.last = learner.train(ready.observations, ready.rollout, settings)
        else:
            self.last = self._autograd(ready, settings, options)
        return self.last.overall

    def _autograd(
        self, ready: MultiTaskRollout, settings: Settings, options: MultiTaskOptions
    ) -> MultiTaskStatistics:
        policy, made = self._model.policy, []
        surgery = options.gradient == "pcgrad"
        seed = [options.seed, self._model._n_updates]
        generator = np.random.default_rng(seed) if surgery else None

        def make(*given: Any) -> MultiTaskGradient:
            made.append(MultiTaskGradient(*given, pcgrad=generator))
            return made[0]

        overall = autograd.train(
            policy,
            policy.optimizer,
            ready.observations[None],
            ready.rollout,
            settings,
            notes=self.notes,
            make_gradient=make,
        )
        conflicts = made[0].conflicts
        self.conflicts = float(np.mean(conflicts)) if conflicts else None
        batches = math.ceil(len(ready.observations) / settings.batch_size)
        by_task = made[0].means(overall.epochs, batches)
        return MultiTaskStatistics(overall=overall, by_task=by_task)

    def _new_actor(self) -> Actor:
        if self.plan().path == "closed_form":
            return MultiTaskActor(self._learned())
        return PolicyActor(self._model.policy)

    def _learned(self) -> closed_form.MultiTaskLearner:
        self._look()
        if self._multitask is None:
            policy = self._model.policy
            self._multitask = closed_form.MultiTaskLearner(
                policy, policy.optimizer, compiled=self.compiled
            )
        return self._multitask

    def _look(self) -> None:
        """Look at the policy as it is now, and start anew where it is not what it was."""
        policy = self._model.policy
        parts = (*policy.modules(), policy.optimizer)
        trains = tuple((id(p), p.requires_grad) for p in policy.parameters())
        if (parts, trains) != (self._parts, self._trains):
            self._parts, self._trains = parts, trains
            self._multitask = None

    def _not_closed_form(self) -> str | None:
        if self.options.path != "auto" and self.options.path != "closed_form":
            return f"options ask for {self.options.path}"
        if self._model.multitask_options.gradient == "pcgrad":
            return "PCGrad takes the gradient of each task apart"
        policy = self._model.policy
        return closed_form.unsupported(policy, policy.optimizer)
