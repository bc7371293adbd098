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

    def rows(self, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States, actions and outcomes (s' - s, r) of every other trajectory, (n, ...) each."""
        change = self.following - self.observations
        outcomes = np.concatenate([change, self.rewards[..., None]], axis=-1)
        return tuple(  # pyright: ignore[reportReturnType]
            part[first::2].reshape(-1, part.shape[-1])
            for part in (self.observations, self.actions, outcomes)
        )


class ForwardModel:
    """Ridge regression from :func:`quadratic` features of (s, a) to (s' - s, r).

    Args:
        task: At least two trajectories; every other one is learnt from.

    Attributes:
        mean: Mean outcomes, shape (width + 1,).
    """

    def __init__(self, task: Transitions) -> None:
        states, actions, outcomes = task.rows(0)
        inputs = np.hstack([states, actions])
        self._center, self._scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-8
        features = quadratic((inputs - self._center) / self._scale)
        fits = [ridge(features, column) for column in outcomes.T]
        self._weights = np.stack([weight for weight, _ in fits], axis=1)
        self._bias = np.array([bias for _, bias in fits])
        self.mean = outcomes.mean(axis=0)

    def __call__(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Predict the outcomes of n actions, shape (n, width + 1)."""
        inputs = np.hstack([states, actions])
        return quadratic((inputs - self._center) / self._scale) @ self._weights + self._bias


@dataclass(frozen=True)
class DynamicsFit:
    """How a model of the source's dynamics does on the target; nan where nothing can be learnt.

    Attributes:
        gap: Root mean squared error on the target over that on the source; 1 where they are alike.
        retained: Share of the explained variance on the source that is left on the target, in
            [0, 1]; mean over the outcomes that can be learnt. 0 where, of both tasks' variance
            together, the model explains nothing on the source either.
        control: Cosine between what actions do on the target by a model of the source and by one of
            the target: 1 where they do the same, -1 where they do the opposite.
    """

    gap: float
    retained: float
    control: float


def dynamics_fit(source: Transitions, target: Transitions) -> DynamicsFit:
    """Fit a model on a source's transitions, and judge it on others of source and target.

    Errors are shares of the variance about the source's mean in both tasks together.

    Args:
        source: At least two trajectories, from actions that do not depend on the task.
        target: As many, from the same actions.
    """
    model = ForwardModel(source)
    (on_source, spread), (on_target, other) = _errors(model, source), _errors(model, target)
    pooled = (spread + other) / 2
    learnt = (pooled > 1e-12) & (on_source < (1 - LEARNABLE) * spread)
    if not learnt.any():
        return DynamicsFit(float("nan"), float("nan"), float("nan"))
    near, far = (part[learnt] / pooled[learnt] for part in (on_source, on_target))
    explained, left = 1 - near, 1 - far
    # Of two negative numbers the ratio would say that all is left.
    retained = np.clip(left / np.where(explained > 0, explained, np.inf), 0, 1)
    return DynamicsFit(
        gap=float(np.sqrt((far.mean() + FLOOR) / (near.mean() + FLOOR))),
        retained=float(retained.mean()),
        control=_control(model, ForwardModel(target), target, np.sqrt(pooled), learnt),
    )


def _errors(model: ForwardModel, task: Transitions) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared errors of each outcome, by the model and by the source's mean."""
    states, actions, outcomes = task.rows(1)
    missed = (model(states, actions) - outcomes) ** 2
    return missed.mean(axis=0), ((outcomes - model.mean) ** 2).mean(axis=0)


def _control(
    one: ForwardModel, other: ForwardModel, task: Transitions, scale: np.ndarray, learnt: np.ndarray
) -> float:
    """Compare what it changes by two models if the action is another one, here the next row's."""
    states, actions, _ = task.rows(1)
    instead = np.roll(actions, 1, axis=0)
    effects = [
        ((model(states, actions) - model(states, instead)) / np.maximum(scale, 1e-6))[:, learnt]
        for model in (one, other)
    ]
    length = np.linalg.norm(effects[0]) * np.linalg.norm(effects[1])
    return float((effects[0] * effects[1]).sum() / length) if length > 0 else float("nan")
