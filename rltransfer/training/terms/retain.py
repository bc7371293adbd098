"""Terms that keep a learner close to what its source does."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rltransfer.methods import Kickstart
from rltransfer.training.terms.actions import Actions, kl
from rltransfer.training.terms.closed import ByOutputs, ClosedTerm, Wanted
from rltransfer.training.terms.fading import faded
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.teacher import Teacher
from rltransfer.training.terms.term import Batch, Seen, Term


class KickstartTerm(ClosedTerm):
    """KL divergence from the source in the states of the rollout.

    Args:
        method: The method.
        teacher: The source.
    """

    def __init__(self, method: Kickstart, teacher: Teacher) -> None:
        self.name = method.name
        self._method = method
        self._teacher = teacher
        self._wanted: Actions | None = None
        self._rows: Wanted | None = None

    def begin(self, seen: Seen) -> None:
        """Ask the source what it would do."""
        self.strength = faded(self._method, seen.progress)
        self._wanted = self._teacher.actions(seen.raw) if self.strength else None
        self._rows = Wanted(self._wanted) if self._wanted else None

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the mean divergence."""
        if self._wanted is None:
            return None
        return kl(self._wanted.take(batch.index), batch.distribution).mean()

    def by_outputs(
        self, rows: np.ndarray, outputs: np.ndarray, log_std: np.ndarray
    ) -> ByOutputs | None:
        """Give the mean divergence with its gradients."""
        return None if self._rows is None else self._rows.divergence(rows, outputs, log_std)


@term_of.register
def _(method: Kickstart, setting: Setting) -> Term:
    return KickstartTerm(method, setting.teacher)
