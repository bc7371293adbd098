"""Terms that keep a learner close to what its source does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rltransfer.methods import Cloning, Fading, Kickstart, ProximalDistillation
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.closed import ByOutputs, ClosedTerm, Wanted
from rltransfer.training.terms.fading import FadingTerm
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.teacher import Teacher, part_of, see
from rltransfer.training.terms.term import Batch, Seen, Term
from rltransfer.training.terms.weights import require_actor


class SourceTerm(FadingTerm):
    """KL divergence from the source in the states of the rollout.

    Args:
        method: The method.
        teacher: The source.
    """

    def __init__(self, method: Fading, teacher: Teacher) -> None:
        super().__init__(method)
        self._teacher = teacher
        self._wanted: Actions | None = None

    def begin(self, seen: Seen) -> None:
        """Ask the source what it would do."""
        super().begin(seen)
        self._wanted = self._teacher.actions(seen.raw) if self.strength else None

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the mean divergence."""
        if self._wanted is None:
            return None
        return self._mean(kl(self._wanted.take(batch.index), batch.distribution), batch)

    def _mean(self, divergence: Tensor, batch: Batch) -> Tensor:
        return divergence.mean()


class KickstartTerm(SourceTerm, ClosedTerm):
    """The plain mean of it."""

    _rows: Wanted | None = None

    def begin(self, seen: Seen) -> None:
        """Ask the source what it would do."""
        super().begin(seen)
        self._rows = Wanted(self._wanted) if self._wanted else None

    def by_outputs(
        self, rows: np.ndarray, outputs: np.ndarray, log_std: np.ndarray
    ) -> ByOutputs | None:
        """Give the mean divergence with its gradients."""
        return None if self._rows is None else self._rows.divergence(rows, outputs, log_std)


class ProximalDistillationTerm(SourceTerm):
    """KL divergence from the source, weighted by how much likelier the actions have become."""

    def begin(self, seen: Seen) -> None:
        """Ask the source what it would do, and PPO how far it may go."""
        super().begin(seen)
        self._clip_range = seen.model.clip_range(1.0 - seen.progress)

    def _mean(self, divergence: Tensor, batch: Batch) -> Tensor:
        ratio = (batch.log_prob - batch.old_log_prob).exp()
        return (ratio.clamp(min=1.0 - self._clip_range) * divergence).mean()


class CloningTerm(FadingTerm):
    """KL divergence from the source in stored states.

    Args:
        method: The method.
        teacher: The source.
        states: Its states, not normalized: (N, ...), or a dict of such.
        steps: Environment steps that collecting them took.
    """

    def __init__(self, method: Cloning, teacher: Teacher, states: Any, steps: int) -> None:
        super().__init__(method)
        self._states = states
        self._steps = steps
        self._wanted = teacher.actions(states)
        self._model: Any = None

    def begin(self, seen: Seen) -> None:
        """Set the strength."""
        super().begin(seen)
        self._model = seen.model

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the mean divergence in as many stored states as the minibatch has."""
        rows = torch.randint(len(self._wanted.outputs), (len(batch.index),))
        drawn = see(self._model, part_of(self._states, rows.numpy()))
        learner = Actions.of(batch.policy.get_distribution(drawn))
        return kl(self._wanted.take(rows.to(batch.index.device)), learner).mean()

    def end(self) -> dict[str, float]:
        """Say what the states cost, on another task than the target."""
        return {"source_steps": self._steps}


@term_of.register
def _(method: Kickstart, setting: Setting) -> Term:
    require_actor(method, setting.model)
    return KickstartTerm(method, setting.teacher)


@term_of.register
def _(method: ProximalDistillation, setting: Setting) -> Term:
    require_actor(method, setting.model)
    return ProximalDistillationTerm(method, setting.teacher)


@term_of.register
def _(method: Cloning, setting: Setting) -> Term:
    require_actor(method, setting.model)
    found = setting.source_states(method.states, tasks=method.tasks)
    return CloningTerm(method, setting.teacher, found.observations, found.steps)
