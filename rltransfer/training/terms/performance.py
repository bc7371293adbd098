"""How well a learner does, next to its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Performance:
    """Ratio of what episodes of learner and source return on the target, above a random policy's.

    As in QDagger (Agarwal et al. 2022, section 4.2), with random's return in the place of 0, so
    that the ratio does not depend on where a task has its 0.

    Args:
        random: Mean return of random actions.
        source: Mean return of the source, greater than ``random``.

    Attributes:
        ratio: 0 for random, 1 for as good as the source; 0 until an episode has ended.
    """

    def __init__(self, random: float, source: float) -> None:
        self._random = random
        self._source = source
        self.ratio = 0.0

    def look(self, model: Any) -> None:
        """Take the mean return of the model's latest episodes; without any, the ratio stays."""
        if model.ep_info_buffer:
            found = float(np.mean([episode["r"] for episode in model.ep_info_buffer]))
            self.ratio = (found - self._random) / (self._source - self._random)

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs: its first episodes have yet to end."""
        return {"ratio": torch.tensor(self.ratio, dtype=torch.float64)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self.ratio = state["ratio"].item()
