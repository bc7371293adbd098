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
        losses, shares = self.losses[:done], self.shares[:done]
        here = shares > 0
        losses[here, POLICY_LOSS] /= shares[here]
        # What a task without rows left is no number of its: times a share of 0 it would show.
        losses[~here] = 0
        overall = np.matmul(shares[:, None], losses)[:, 0]
        last = {name: float(overall[-1, entry]) for name, entry in ENTRY.items()}
        loss = last["policy_loss"] + settings.ent_coef * last["entropy_loss"]
        means = _means(overall[:, None], np.ones((done, 1)), begun)[0]
        by_task = _means(losses, here, begun)
        return MultiTaskStatistics(
            overall=Statistics(
                **means, loss=float(loss + settings.vf_coef * last["value_loss"]), **ended
            ),
            by_task={task: by_task[task] for task in np.flatnonzero(here.any(axis=0)).tolist()},
        )


def _means(losses: np.ndarray, here: np.ndarray, begun: int) -> list[dict[str, float]]:
    """Means of each task over the minibatches with it; of the divergence, over the last epoch."""
    means = losses.sum(axis=0) / here.sum(axis=0)[:, None]
    means[:, KL] = losses[begun:, :, KL].sum(axis=0) / here[begun:].sum(axis=0)
    return [dict(zip(ENTRY, row, strict=True)) for row in means[:, list(ENTRY.values())].tolist()]
