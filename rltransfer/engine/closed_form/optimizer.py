"""Between torch's Adam and flat vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rltransfer.engine.closed_form.segments import Segment, Views


@dataclass(frozen=True)
class Run:
    """A stretch of the flat vector that steps as one.

    Attributes:
        start: Its first place.
        stop: One past its last place.
        step: Steps it has taken so far.
        lr_scale: Factor on the learning rate.
    """

    start: int
    stop: int
    step: int
    lr_scale: float


class AdamState:
    """Moments of the parameters that train, as stretches of equal age and learning rate.

    Args:
        trained: Those parameters, in the order of the flat vector.
        optimizer: A ``torch.optim.Adam`` with one group.
        lr_scale: Factors on the learning rate by parameter name; 1 for those that are absent.

    Attributes:
        runs: The stretches.
    """

    def __init__(
        self, trained: Sequence[Segment], optimizer: Any, lr_scale: Mapping[str, float]
    ) -> None:
        self._trained = trained
        self._optimizer = optimizer
        group = optimizer.param_groups[0]
        self._beta1, self._beta2 = (float(beta) for beta in group["betas"])
        self._eps = float(group["eps"])
        self._states = [optimizer.state.get(segment.parameter, {}) for segment in trained]
        self.runs: list[Run] = []
        for segment, state in zip(trained, self._states, strict=True):
            step = int(state["step"]) if state else 0
            self._append(
                Run(segment.start, segment.stop, step, float(lr_scale.get(segment.name, 1.0)))
            )

    def read(self, first: Views, second: Views) -> None:
        """Copy the moments into flat vectors, given as views."""
        for segment, state in zip(self._trained, self._states, strict=True):
            first[segment.index][...] = state["exp_avg"].numpy() if state else 0
            second[segment.index][...] = state["exp_avg_sq"].numpy() if state else 0

    def write(self, first: Views, second: Views, steps: int) -> None:
        """Copy flat vectors, given as views, into the moments, after so many steps."""
        if not steps:
            return
        ages = {segment: run.step for run in self.runs for segment in self._within(run)}
        for segment in self._trained:
            state = self._optimizer.state[segment.parameter]
            if not state:
                state.update(_created(segment.parameter))
            state["step"].fill_(ages[segment] + steps)
            state["exp_avg"].copy_(torch.from_numpy(first[segment.index]))
            state["exp_avg_sq"].copy_(torch.from_numpy(second[segment.index]))

    def rates(self, run: Run, learning_rate: float, steps: int) -> tuple[float, ...]:
        """Numbers for the step after so many: (rate, beta1, beta2, eps).

        With bias corrections c1 and c2, torch computes ``m / c1 / (sqrt(v) / sqrt(c2) + eps)``;
        multiplied out, both corrections are numbers.
        """
        step = run.step + steps + 1
        root = math.sqrt(1 - self._beta2**step)
        rate = float(learning_rate) * run.lr_scale * root / (1 - self._beta1**step)
        return rate, self._beta1, self._beta2, self._eps * root

    def _append(self, run: Run) -> None:
        last = self.runs[-1] if self.runs else None
        same = last and (last.stop, last.step, last.lr_scale) == (run.start, run.step, run.lr_scale)
        if last and same:
            self.runs[-1] = Run(last.start, run.stop, run.step, run.lr_scale)
        else:
            self.runs.append(run)

    def _within(self, run: Run) -> list[Segment]:
        return [s for s in self._trained if run.start <= s.start < run.stop]


def _created(parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    """State as ``torch.optim.Adam`` creates it at the first step."""
    wide = torch.get_default_dtype() == torch.float64
    return {
        "step": torch.tensor(0.0, dtype=torch.float64 if wide else torch.float32),
        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
    }
