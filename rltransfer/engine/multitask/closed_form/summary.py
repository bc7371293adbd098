"""From the losses of minibatches to what an update reports."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltransfer.engine.closed_form.kernels.entries import (
    CLIP_FRACTION,
    ENTRIES,
    ENTROPY_LOSS,
    KL,
    POLICY_LOSS,
    VALUE_LOSS,
)
from rltransfer.engine.multitask.records import MultiTaskStatistics
from rltransfer.engine.records import Settings, Statistics

ENTRY = {
    "policy_loss": POLICY_LOSS,
    "value_loss": VALUE_LOSS,
    "entropy_loss": ENTROPY_LOSS,
    "approx_kl": KL,
    "clip_fraction": CLIP_FRACTION,
}


class Table:
    """Losses of each minibatch and task.

    Attributes:
        losses: Means over the rows of a task, shape (minibatches, tasks, entries); those of the
            policy times the task's share of the rows.
        shares: These shares, shape (minibatches, tasks).
    """

    def __init__(self, minibatches: int, tasks: int) -> None:
        self.losses = np.zeros((minibatches, tasks, ENTRIES))
        self.shares = np.zeros((minibatches, tasks))

    def statistics(
        self, done: int, begun: int, settings: Settings, **ended: Any
    ) -> MultiTaskStatistics:
        """Sum up.

        Args:
            done: Minibatches that were computed.
            begun: First minibatch of the last epoch.
            settings: Hyperparameters.
            ended: The epochs, and what ended them.
        """
        losses, shares = self.losses[:done].copy(), self.shares[:done]
        here = shares > 0
        losses[here, POLICY_LOSS] /= shares[here]
        # What a task without rows left is no number of its: times a share of 0 it would show.
        losses[~here] = 0
        weighted = (losses * shares[:, :, None]).sum(axis=1)
        overall = _means(weighted, np.ones(done, bool), begun)
        last = {name: float(weighted[-1, entry]) for name, entry in ENTRY.items()}
        loss = last["policy_loss"] + settings.ent_coef * last["entropy_loss"]
        return MultiTaskStatistics(
            overall=Statistics(
                **overall, loss=float(loss + settings.vf_coef * last["value_loss"]), **ended
            ),
            by_task={
                int(task): _means(losses[:, task], here[:, task], begun)
                for task in np.flatnonzero(here.any(axis=0))
            },
        )


def _means(table: np.ndarray, here: np.ndarray, begun: int) -> dict[str, float]:
    """Means over the minibatches that are there; of the divergence, over the last epoch alone."""
    found = {}
    for name, entry in ENTRY.items():
        first = begun if name == "approx_kl" else 0
        column = table[first:, entry][here[first:]]
        found[name] = float(column.mean()) if len(column) else float("nan")
    return found
