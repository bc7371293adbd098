"""What a method does in the updates of PPO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor

from rltransfer.engine.terms import Evaluated
from rltransfer.training.terms.actions import Actions


class Batch:
    """One minibatch, and what terms may want of it, computed when first asked for.

    Args:
        evaluated: What the update computed of it.

    Attributes:
        policy: The policy.
        index: Numbers of the B rows in the rollout, shape (B,).
        observations: As the policy sees them: (B, ...), or a dict of such.
        actions: As the policy takes them.
        log_prob: Log probabilities of the actions now, shape (B,), with gradients.
        old_log_prob: When they were taken, shape (B,).
        values: Values, shape (B,), with gradients.
    """

    def __init__(self, evaluated: Evaluated) -> None:
        self.policy = evaluated.policy
        self.index = evaluated.index
        self.observations = evaluated.batch.observations
        self.actions = evaluated.batch.actions
        self.log_prob = evaluated.log_prob
        self.old_log_prob = evaluated.batch.old_log_prob
        self.values = evaluated.values.flatten()

    @cached_property
    def distribution(self) -> Actions:
        """The learner's action distributions, with gradients."""
        return Actions.of(self.policy.get_distribution(self.observations))

    @cached_property
    def latent(self) -> Tensor:
        """What the actor's head reads: the last layer of its trunk, shape (B, width)."""
        return latent_of(self.policy, self.observations)


def latent_of(policy: Any, observations: Any) -> Tensor:
    """What an actor's head reads.

    Args:
        policy: An ``ActorCriticPolicy``.
        observations: As the policy sees them.

    Returns:
        Shape (B, width).
    """
    features = policy.extract_features(observations)
    own = features if policy.share_features_extractor else features[0]
    return policy.mlp_extractor.forward_actor(own)


@dataclass(frozen=True, eq=False)
class Seen:
    """One rollout of N rows, before it is learnt from.

    Attributes:
        model: The model.
        observations: As the policy saw them, on its device: shape (N, ...), or a dict of such.
        raw: As the environments gave them, the same shapes; arrays or tensors on the host.
        progress: Fraction of training done, in [0, 1].
        ratio: What the learner's latest episodes return above random, over what the source's do;
            0 where no method fades by it.
    """

    model: Any
    observations: Any
    raw: Any
    progress: float
    ratio: float = 0.0


class Term:
    """A method at work. Everything it does not override does nothing.

    Attributes:
        name: Name in TensorBoard, below ``transfer/``.
        strength: Factor on its loss in this update; 0 leaves the term out of the update.
        waits: Whether it wants a rollout to itself: :meth:`take` is called in place of PPO's next
            update.
    """

    name = ""
    strength = 1.0
    waits = False

    @property
    def withheld(self) -> int:
        """Entries of weights that do not train now, less those that train in their place."""
        return 0

    def take(self, seen: Seen) -> None:
        """Learn from a rollout instead of PPO."""

    def begin(self, seen: Seen) -> None:
        """Look at a rollout before the update on it."""

    def loss(self, batch: Batch) -> Tensor | None:
        """Give the loss of a minibatch without its strength, a scalar; None for nothing."""
        return None

    def differentiated(self) -> None:
        """Change gradients, before they are clipped."""

    def stepped(self) -> None:
        """Change weights, after a step of the optimizer."""

    def end(self) -> Mapping[str, float]:
        """Finish the update; return what to log besides strength and mean loss, by name."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs of it, beyond what building it anew gives."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""


V = TypeVar("V")


def below(prefix: str, state: Mapping[str, V]) -> dict[str, V]:
    """Pick the entries whose names begin with a prefix, by the rest of their names."""
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
