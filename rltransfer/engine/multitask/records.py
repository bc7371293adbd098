"""What an update of many tasks reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rltransfer.engine.records import Statistics


@dataclass(frozen=True, kw_only=True)
class MultiTaskStatistics:
    """Means of an update.

    Attributes:
        overall: Over all rows.
        by_task: Over the rows of each task, by its index: ``policy_loss``, ``value_loss``,
            ``entropy_loss``, ``approx_kl`` and ``clip_fraction``.
    """

    overall: Statistics
    by_task: Mapping[int, Mapping[str, float]]
