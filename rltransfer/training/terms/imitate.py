"""Terms that learn from the source's trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.methods import Demonstrations, SourceTrajectories
from rltransfer.normalizing import reward_unit
from rltransfer.training.critic import bootstrapped_returns
from rltransfer.training.terms.fading import FadingTerm
from rltransfer.training.terms.importance import density_ratio, effective_samples
from rltransfer.training.terms.lessons import Lessons
from rltransfer.training.terms.setting import Setting, term_of
from rltransfer.training.terms.teacher import see
from rltransfer.training.terms.term import Batch, Seen, Term
from rltransfer.training.terms.weights import require_actor

MOST = 20.0
"""Largest factor that an advantage may give a transition (Peng et al. 2019, section 5)."""


class SourceTrajectoriesTerm(Term):
    """Clones the source on its own transitions in place of PPO's first update.

    Args:
        method: The method.
        lessons: The source's transitions.
        parameters: What may change.
        factors: Factors on the weights, shape (N,).
    """

    strength = 0.0

    def __init__(
        self,
        method: SourceTrajectories,
        lessons: Lessons,
        parameters: list[Tensor],
        factors: np.ndarray,
    ) -> None:
        self.name = method.name
        self.waits = True
        self._method = method
        self._lessons = lessons
        self._parameters = parameters
        self._factors = factors
        self._found: dict[str, float] = {}

    def take(self, seen: Seen) -> None:
        """Weight the transitions by the states of the rollout, and clone."""
        weights = self._weights(seen.raw)
        self._found = {
            "source_steps": self._lessons.states.steps,
            "effective_samples": effective_samples(weights),
            "loss": self._clone(seen.model, weights),
        }
        self.waits = False

    def end(self) -> Mapping[str, float]:
        """Tell how many transitions counted, and the mean loss of the last pass."""
        return self._found

    def state(self) -> dict[str, Tensor]:
        """Whether it has cloned."""
        return {"waits": torch.tensor(self.waits)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        self.waits = bool(state["waits"])

    def _weights(self, raw: Any) -> np.ndarray:
        weights = self._factors
        if self._method.importance:
            ratio = density_ratio(np.asarray(raw), self._lessons.states.observations)
            weights = weights * np.minimum(ratio, self._method.most)
        return weights / weights.mean()

    def _clone(self, model: Any, weights: np.ndarray) -> float:
        seen = see(model, self._lessons.states.observations)
        weighed = torch.as_tensor(weights, dtype=torch.float32, device=model.device)
        optimizer = torch.optim.Adam(self._parameters, lr=self._method.learning_rate)
        model.policy.set_training_mode(True)
        losses: list[Tensor] = []
        for _ in range(self._method.epochs):
            losses = []
            for rows in torch.randperm(len(weights)).split(self._method.batch_size):
                rows = rows.to(model.device)
                loss = -(weighed[rows] * self._lessons.log_prob(model.policy, seen, rows)).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self._parameters, model.max_grad_norm)
                optimizer.step()
                losses.append(loss.detach())
        model.policy.zero_grad(set_to_none=True)
        return torch.stack(losses).mean().item()


class DemonstrationsTerm(FadingTerm):
    """Negative log likelihood of the source's transitions.

    Args:
        method: The method.
        lessons: The source's transitions.
    """

    def __init__(self, method: Demonstrations, lessons: Lessons) -> None:
        super().__init__(method)
        self._lessons = lessons
        self._seen: Any = None

    def begin(self, seen: Seen) -> None:
        """Set the strength, and look at the source's states through the statistics of now."""
        super().begin(seen)
        held = self._lessons.states.observations
        self._seen = see(seen.model, held) if self.strength else None

    def loss(self, batch: Batch) -> Tensor | None:
        """Draw as many transitions as the minibatch has rows."""
        count, device = len(self._lessons.actions), batch.index.device
        rows = torch.randint(count, (len(batch.index),)).to(device)
        return -self._lessons.log_prob(batch.policy, self._seen, rows).mean()

    def end(self) -> Mapping[str, float]:
        """Say what the transitions cost, on another task than the target."""
        return {"source_steps": self._lessons.states.steps}


@term_of.register
def _(method: SourceTrajectories, setting: Setting) -> Term:
    space = setting.model.observation_space
    if method.importance and not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        raise RecipeError(
            f"SourceTrajectories tells the states of two tasks apart by their columns, and {space} "
            "is no flat vector: use SourceTrajectories(importance=False)"
        )
    # Deviations fitted to the source's actions would leave nothing to explore with.
    named = setting.parameters().items()
    chosen = [one for name, one in named if name != "log_std" and one.requires_grad]
    if not chosen:
        raise RecipeError("SourceTrajectories trains the actor, and all of it is frozen: thaw it")
    lessons = Lessons(setting, method.states)
    return SourceTrajectoriesTerm(method, lessons, chosen, _factors(method, setting, lessons))


@term_of.register
def _(method: Demonstrations, setting: Setting) -> Term:
    require_actor(method, setting.model)
    return DemonstrationsTerm(method, Lessons(setting, method.states))


def _factors(method: SourceTrajectories, setting: Setting, lessons: Lessons) -> np.ndarray:
    """How much more the better transitions count."""
    if method.temperature is None:
        return np.ones(len(lessons.actions))
    held = lessons.states
    unit = reward_unit(setting.agent.normalization)
    values = setting.teacher.values(held.observations).cpu().numpy()
    returns = bootstrapped_returns(
        held.rewards[:, None] / unit,
        held.cuts[:, None],
        (held.cuts & ~held.dones)[:, None],
        values[:, None],
        float(setting.agent.hyperparameters["gamma"]),
    )
    advantages = returns[:, 0] - values
    scaled = advantages / (advantages.std() + 1e-8) / method.temperature
    return np.minimum(np.exp(np.minimum(scaled, np.log(MOST))), MOST)
