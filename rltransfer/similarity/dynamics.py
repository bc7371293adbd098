"""How well a model of the source's dynamics predicts the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rltransfer.similarity.expansion import quadratic
from rltransfer.training.critic import ridge

FLOOR = 1e-4
"""Share of the variance that is added to squared errors: less is taken for a perfect model."""
LEARNABLE = 0.1
"""Share of the variance of an output that the model has to explain on the source to count."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """What happened in one task, by trajectory.

    Attributes:
        observations: Shape (trajectories, steps, width).
        actions: Shape (trajectories, steps, actions).
        rewards: Shape (trajectories, steps).
        following: Observations after the action, of the ended episode where one ended; as
            ``observations``.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    following: np.ndarray

    def rows(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and outputs of a model of some trajectories: (s, a), and (s' - s, r)."""
        inputs = np.concatenate([self.observations, self.actions], axis=-1)[which]
        change = self.following - self.observations
        outputs = np.concatenate([change, self.rewards[..., None]], axis=-1)[which]
        return inputs.reshape(-1, inputs.shape[-1]), outputs.reshape(-1, outputs.shape[-1])


@dataclass(frozen=True)
class DynamicsFit:
    """How a model of the source's dynamics does.

    Attributes:
        gap: Root mean squared error on the target over that on the source; 1 where they are alike.
        retained: Share of the explained variance on the source that is left on the target, in
            [0, 1]; mean over the outputs that can be learnt. Both are nan if none can.
    """

    gap: float
    retained: float


def dynamics_fit(source: Transitions, target: Transitions) -> DynamicsFit:
    """Fit a model on a source's transitions, and judge it on others of source and target.

    Ridge regression from :func:`quadratic` features of (s, a) to the change of each observation and
    to the reward, fitted on every other trajectory of the source and judged on the rest. Errors are
    shares of the variance about the source's mean in both tasks together.

    Args:
        source: At least two trajectories, from actions that do not depend on the task.
        target: As many, from the same actions.
    """
    odd = np.arange(len(source.observations)) % 2 == 1
    inputs, outputs = source.rows(~odd)
    center, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-8
    models = [ridge(quadratic((inputs - center) / scale), column) for column in outputs.T]

    def errors(task: Transitions) -> tuple[np.ndarray, np.ndarray]:
        seen, happened = task.rows(odd)
        features = quadratic((seen - center) / scale)
        told = np.stack([features @ weight + bias for weight, bias in models], axis=1)
        squares = (happened - outputs.mean(axis=0)) ** 2
        return ((told - happened) ** 2).mean(axis=0), squares.mean(axis=0)

    (on_source, spread), (on_target, other_spread) = errors(source), errors(target)
    return _compared(on_source, on_target, (spread + other_spread) / 2, spread)


def _compared(
    on_source: np.ndarray, on_target: np.ndarray, pooled: np.ndarray, spread: np.ndarray
) -> DynamicsFit:
    learnt = (pooled > 1e-12) & (on_source < (1 - LEARNABLE) * spread)
    if not learnt.any():
        return DynamicsFit(float("nan"), float("nan"))
    source, target = (part[learnt] / pooled[learnt] for part in (on_source, on_target))
    gap = np.sqrt((target.mean() + FLOOR) / (source.mean() + FLOOR))
    retained = np.clip((1 - target) / (1 - source), 0, 1)
    return DynamicsFit(float(gap), float(retained.mean()))
