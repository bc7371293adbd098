"""Acting during a rollout."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor

from rltransfer.engine.closed_form import Learner
from rltransfer.engine.records import Pair
from rltransfer.engine.sources import FeatureSource


class Actor(Protocol):
    """Chooses actions step by step, and knows values and log probabilities at the end.

    Each draws from torch's global generator what ``policy.forward`` draws, in the same order.

    Attributes:
        may_wait: Whether values of the states where a time limit cut an episode may be computed
            after the rollout: they draw no random numbers and remember nothing.
    """

    may_wait: bool

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Prepare for a rollout of so many steps."""
        ...

    def act(self, observations: Any, step: int) -> np.ndarray:
        """Choose actions, as ``policy.forward`` gives them, for the observations of a step."""
        ...

    def evaluated(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Values, shape (n_envs, 1), and log probabilities, (n_envs,), of the step just acted."""
        ...

    def finish(self, buffer: Any) -> None:
        """Fill ``values`` and ``log_probs`` of the rollout buffer, shape (n_steps, n_envs)."""
        ...

    def predict_values(self, observations: Any) -> np.ndarray:
        """Values of a batch of observations (an array, or a dict of arrays), shape (n,)."""
        ...


class PolicyActor:
    """Acts through ``policy.forward``, whatever the policy is."""

    may_wait = False

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._values = np.empty(0)
        self._log_probs = np.empty(0)

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Make room for what each step gives."""
        self._values = np.empty((n_steps, n_envs), np.float32)
        self._log_probs = np.empty((n_steps, n_envs), np.float32)

    @torch.no_grad()
    def act(self, observations: Any, step: int) -> np.ndarray:
        """Choose actions, and keep values and log probabilities."""
        actions, *evaluated = self._policy(obs_as_tensor(observations, self._policy.device))
        self._last = evaluated
        self._values[step] = evaluated[0].cpu().numpy().ravel()
        self._log_probs[step] = evaluated[1].cpu().numpy()
        return actions.cpu().numpy()

    def evaluated(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and log probabilities of the step just acted."""
        return self._last[0], self._last[1]

    def finish(self, buffer: Any) -> None:
        """Hand over what was kept."""
        steps = len(self._values)
        buffer.values[:steps] = self._values
        buffer.log_probs[:steps] = self._log_probs

    @torch.no_grad()
    def predict_values(self, observations: Any) -> np.ndarray:
        """Values of a batch of observations."""
        observations = obs_as_tensor(observations, self._policy.device)
        return self._policy.predict_values(observations).cpu().numpy().ravel()


# Rows that are evaluated at once after a rollout: enough to be fast, few enough to be small.
ROWS = 1024


class ClosedFormActor:
    """Acts through the closed form; values and log probabilities come after the last step.

    Args:
        learner: Holds the weights.
        source: Gives the features.
    """

    may_wait = True

    def __init__(self, learner: Learner, source: FeatureSource) -> None:
        self._learner = learner
        self._source = source

    def begin(self, n_steps: int, n_envs: int) -> None:
        """Read the weights."""
        self._learner.read()
        self._source.begin(n_steps, n_envs)
        self._evaluated: list[Pair] = []

    def act(self, observations: Any, step: int) -> np.ndarray:
        """Choose actions, which takes the actor alone."""
        # A callback that we do not know might have changed the weights since the last step, also
        # through ``tensor.data``, which torch does not count.
        if self._evaluated:
            self._learner.read()
        self._features = self._source.compute(observations, step)
        self._actions = self._learner.act(self._features[0])
        return self._actions

    def evaluated(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and log probabilities of the step just acted."""
        found = self._evaluate(*self._features, self._actions)
        self._evaluated.append(found)
        values, log_prob = (torch.from_numpy(one.copy()) for one in found)
        return values[:, None], log_prob

    def finish(self, buffer: Any) -> None:
        """Evaluate all steps together, unless each was evaluated already."""
        values, log_probs = buffer.values.reshape(-1), buffer.log_probs.reshape(-1)
        if self._evaluated:
            for step, (value, log_prob) in enumerate(self._evaluated):
                buffer.values[step], buffer.log_probs[step] = value, log_prob
            return
        actions = buffer.actions.reshape(len(values), -1)
        take = self._source.reader(buffer.observations)
        for start in range(0, len(values), ROWS):
            rows = np.arange(start, min(start + ROWS, len(values)))
            values[rows], log_probs[rows] = self._evaluate(*take(rows), actions[rows])

    def predict_values(self, observations: Any) -> np.ndarray:
        """Values of a batch of observations, by the weights of now."""
        self._learner.read()
        return self._learner.predict_values(self._source.compute(observations)[1])

    def _evaluate(self, actor: np.ndarray, critic: np.ndarray, actions: np.ndarray) -> Pair:
        actions = actions.reshape(len(actor), -1).astype(np.float32, copy=False)
        return self._learner.predict_values(critic), self._learner.log_prob(actor, actions)
