"""Acting for many tasks during a rollout, by the closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rltransfer.engine.multitask.closed_form.learner import MultiTaskLearner
from rltransfer.engine.records import Pair


class MultiTaskActor:
    """Acts through the closed form; values and log probabilities come after the last step.

    See :class:`rltransfer.engine.acting.Actor`.

    Args:
        learner: Holds the weights.
    """

    may_wait = True

    def __init__(self, learner: MultiTaskLearner) -> None:
        self._learner = learner

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Read the weights."""
        self._learner.read()
        self._evaluated: list[Pair] = []

    def act(self, observations: Any, step: int) -> np.ndarray:
        """Choose packed actions, which takes the actor alone."""
        # A callback that we do not know might have changed the weights since the last step.
        if self._evaluated:
            self._learner.read()
        self._observations = observations
        self._actions = self._learner.act(observations)
        return self._actions

    def evaluated(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and log probabilities of the step just acted."""
        found = self._evaluate(self._observations, self._actions)
        self._evaluated.append(found)
        values, log_prob = (torch.from_numpy(one.copy()) for one in found)
        return values[:, None], log_prob

    def finish(self, buffer: Any) -> None:
        """Evaluate all steps together, unless each was evaluated already."""
        if self._evaluated:
            for step, (value, log_prob) in enumerate(self._evaluated):
                buffer.values[step], buffer.log_probs[step] = value, log_prob
            return
        # Environment by environment, so that rows of one task lie together.
        steps, envs = buffer.values.shape
        observations = buffer.observations.swapaxes(0, 1).reshape(steps * envs, -1)
        actions = buffer.actions.swapaxes(0, 1).reshape(steps * envs, -1)
        values, log_probs = self._evaluate(observations, actions)
        buffer.values[...] = values.reshape(envs, steps).T
        buffer.log_probs[...] = log_probs.reshape(envs, steps).T

    def predict_values(self, observations: Any) -> np.ndarray:
        """Values of a batch of observations, by the weights of now."""
        self._learner.read()
        return self._learner.predict_values(observations)

    def _evaluate(self, observations: np.ndarray, actions: np.ndarray) -> Pair:
        predicted = self._learner.predict_values(observations)
        return predicted, self._learner.log_prob(observations, actions)
