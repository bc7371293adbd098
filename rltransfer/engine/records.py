"""What an update of PPO is given, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Permutation = Callable[[], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hyperparameters of one update (Schulman et al. 2017), as numbers of this moment.

    Attributes:
        batch_size: Rows of a minibatch; the last one of an epoch may have fewer.
        n_epochs: Passes over the rollout.
        clip_range: Clipping of the probability ratio.
        clip_range_vf: Clipping of the change of values; None for none.
        normalize_advantage: Whether the advantages of each minibatch are standardized.
        ent_coef: Weight of the entropy bonus.
        vf_coef: Weight of the value loss.
        max_grad_norm: Largest L2 norm of the gradient.
        target_kl: The update ends when the approximate KL divergence of a minibatch exceeds 1.5
            times this; None for never.
        learning_rate: Learning rate.
        lr_scale: Factors on the learning rate by parameter name; 1 for those that are absent.
    """

    batch_size: int
    n_epochs: int
    clip_range: float
    clip_range_vf: float | None
    normalize_advantage: bool
    ent_coef: float
    vf_coef: float
    max_grad_norm: float
    target_kl: float | None
    learning_rate: float
    lr_scale: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What SB3 logs of an update: means over minibatches, unless stated otherwise.

    Attributes:
        policy_loss: Clipped surrogate loss.
        value_loss: Squared error of the values.
        entropy_loss: Negative entropy.
        approx_kl: Approximate KL divergence, over the minibatches of the last epoch.
        clip_fraction: Fraction of rows whose ratio was clipped.
        loss: Loss of the last minibatch.
        epochs: Epochs that were begun, which SB3 adds to ``n_updates``.
        stopped_at: Epoch that ``target_kl`` ended; None if none.
        kl: Divergence that ended it; nan if none did.
    """

    policy_loss: float
    value_loss: float
    entropy_loss: float
    approx_kl: float
    clip_fraction: float
    loss: float
    epochs: int
    stopped_at: int | None = None
    kl: float = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """One rollout of ``n = n_steps * n_envs`` rows; row ``t * n_envs + e`` is step t of env e.

    Attributes:
        actions: Actions as the rollout buffer holds them, shape (n, dims).
        old_log_prob: Log probabilities under the policy that acted, shape (n,).
        old_values: Its values, shape (n,).
        advantages: Shape (n,).
        returns: Targets of the values, shape (n,).
        permutation: Gives the shuffled rows of the next epoch, shape (n,).
    """

    actions: np.ndarray
    old_log_prob: np.ndarray
    old_values: np.ndarray
    advantages: np.ndarray
    returns: np.ndarray
    permutation: Permutation


# Features of actor and critic: one array twice where they share their extractor.
Pair = tuple[np.ndarray, np.ndarray]
Take = Callable[[np.ndarray], Pair]
