"""When a source that begins the learner's episodes hands over: earlier and earlier."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rltransfer.methods import JumpStart

LOWEST = -sys.float_info.max
WINDOW = 20
"""Episodes over which returns are averaged."""


class Horizon:
    """Steps that the source plays at the beginning of an episode.

    Args:
        method: The method.
        longest: Steps at first.

    Attributes:
        stage: From 0 to ``method.stages``, at which there are none left.
    """

    def __init__(self, method: JumpStart, longest: int) -> None:
        self.stage = 0
        self._method = method
        self._longest = longest
        self._best = LOWEST
        self._returns: deque[float] = deque(maxlen=WINDOW)

    @property
    def steps(self) -> int:
        """Steps at this stage, at most."""
        return round(self._longest * (1 - self.stage / self._method.stages))

    def draw(self) -> int:
        """Choose the steps of an episode."""
        if self._method.mode == "curriculum" or not self.steps:
            return self.steps
        return int(np.random.randint(self.steps + 1))

    def ended(self, steps: int, episode_return: float) -> None:
        """Note what a whole episode returned that the source began with so many steps."""
        if steps == self.steps:  # and not in an earlier stage
            self._returns.append(episode_return)

    def advance(self, progress: float) -> None:
        """Go on if it is time, by at most one stage for what was returned.

        Args:
            progress: Fraction of training done.
        """
        stages, scheduled = self._method.stages, progress / self._method.until
        if self._method.mode == "random":
            self.stage = stages if scheduled >= 1 else 0
            return
        due = min(stages, int(stages * scheduled))
        stage = max(due, min(stages, self.stage + self._earned()))
        if stage > self.stage:
            self._returns.clear()
        self.stage = stage

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs."""
        return {
            "stage": torch.tensor(self.stage),
            "best": torch.tensor(self._best, dtype=torch.float64),
            "returns": torch.tensor(list(self._returns), dtype=torch.float64),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self.stage = int(state["stage"])
        self._best = float(state["best"])
        self._returns = deque(state["returns"].tolist(), maxlen=WINDOW)

    def _earned(self) -> bool:
        """Whether the last episodes returned almost as much as the best ones."""
        if len(self._returns) < WINDOW:
            return False
        now = float(np.mean(self._returns))
        self._best = max(self._best, now)
        # Of a negative return, too, the tolerance is a part of its size.
        return now >= self._best - self._method.tolerance * abs(self._best)
