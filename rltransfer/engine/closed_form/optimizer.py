"""Between torch's Adam and flat vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
        owners: Tasks whose rows reach it; empty for all.
    """

    start: int
    stop: int
    step: int
    lr_scale: float
    owners: frozenset[int] = frozenset()


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
        self._lr_scale = lr_scale
        self.runs = self._runs({})

    def divide(self, owners: Mapping[str, frozenset[int]]) -> None:
        """Divide the stretches by the tasks that reach them, so that they can step apart.

        Args:
            owners: Tasks by parameter name; absent if all do.
        """
        self.runs = self._runs(owners)

    def _runs(self, owners: Mapping[str, frozenset[int]]) -> list[Run]:
        runs: list[Run] = []
        for segment, state in zip(self._trained, self._states, strict=True):
            step = int(state["step"]) if state else 0
            scale = float(self._lr_scale.get(segment.name, 1.0))
            own = owners.get(segment.name, frozenset())
            _append(runs, Run(segment.start, segment.stop, step, scale, own))
        return runs

    def read(self, first: Views, second: Views) -> None:
        """Copy the moments into flat vectors, given as views."""
        for segment, state in zip(self._trained, self._states, strict=True):
            first[segment.index][...] = state["exp_avg"].numpy() if state else 0
            second[segment.index][...] = state["exp_avg_sq"].numpy() if state else 0

    def write(self, first: Views, second: Views, steps: int, skipped: Mapping[int, int]) -> None:
        """Copy flat vectors, given as views, into the moments, after so many steps.

        Args:
            first: First moments.
            second: Second moments.
            steps: Steps that were taken.
            skipped: How many of them each stretch did without, by its first place.
        """
        taken = {
            segment: (run.step, steps - skipped.get(run.start, 0))
            for run in self.runs
            for segment in self._within(run)
        }
        for segment in self._trained:
            age, count = taken[segment]
            if not count:
                continue
            state = self._optimizer.state[segment.parameter]
            if not state:
                state.update(_created(segment.parameter))
            state["step"].fill_(age + count)
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

    def _within(self, run: Run) -> list[Segment]:
        return [s for s in self._trained if run.start <= s.start < run.stop]


def _append(runs: list[Run], run: Run) -> None:
    """Add a stretch, as a part of the last one if they are alike."""
    last = runs[-1] if runs else None
    if (
        last
        and replace(run, start=last.start) == replace(last, stop=run.stop)
        and (last.stop == run.start)
    ):
        runs[-1] = replace(last, stop=run.stop)
    else:
        runs.append(run)


def _created(parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
    """State as ``torch.optim.Adam`` creates it at the first step."""
    wide = torch.get_default_dtype() == torch.float64
    return {
        "step": torch.tensor(0.0, dtype=torch.float64 if wide else torch.float32),
        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
    }
