"""The loss of PPO on one minibatch (Schulman et al. 2017, equations 7 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from rltransfer.engine.autograd.minibatches import Minibatch
from rltransfer.engine.records import Settings


class Losses(NamedTuple):
    """What one minibatch gives, each a scalar tensor; only ``total`` carries gradients."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor
    clip_fraction: Tensor


def columns(seen: Sequence[Losses]) -> Losses:
    """Read the losses of several minibatches at once, since each reading waits for a GPU.

    Args:
        seen: Of each minibatch.

    Returns:
        Each shape (minibatches,), float64, on the host.
    """
    table = torch.stack([number.double() for losses in seen for number in losses])
    return Losses(*table.reshape(len(seen), len(Losses._fields)).T.cpu().unbind())


def ppo_loss(
    values: Tensor,
    log_prob: Tensor,
    entropy: Tensor | None,
    batch: Minibatch,
    settings: Settings,
) -> Losses:
    """Compute the loss that SB3's ``PPO.train`` minimizes, and what it logs of it.

    Args:
        values: What the critic says of the B rows, any shape of B numbers.
        log_prob: Log probabilities of their actions, shape (B,).
        entropy: Entropy of their action distributions, shape (B,); None if it has no closed form,
            which is then estimated by ``-log_prob``.
        batch: The rows.
        settings: Clipping and weights.
    """
    log_ratio = log_prob - batch.old_log_prob
    ratio = log_ratio.exp()
    policy = _policy_loss(ratio, _normalized(batch.advantages, settings), settings.clip_range)
    value = mse_loss(batch.returns, _clipped(values.flatten(), batch.old_values, settings))
    negative_entropy = log_prob.mean() if entropy is None else -entropy.mean()
    total = policy + settings.ent_coef * negative_entropy + settings.vf_coef * value
    with torch.no_grad():
        # Schulman, "Approximating KL Divergence" (2020): the estimator called k3.
        kl = ((ratio - 1) - log_ratio).mean()
        clip_fraction = ((ratio - 1).abs() > settings.clip_range).float().mean()
    return Losses(
        total, policy.detach(), value.detach(), negative_entropy.detach(), kl, clip_fraction
    )


def _normalized(advantages: Tensor, settings: Settings) -> Tensor:
    # One row has no standard deviation.
    if not settings.normalize_advantage or len(advantages) == 1:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def _policy_loss(ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.min(advantages * ratio, advantages * clipped).mean()


def _clipped(values: Tensor, old_values: Tensor, settings: Settings) -> Tensor:
    limit = settings.clip_range_vf
    if limit is None:
        return values
    return old_values + (values - old_values).clamp(-limit, limit)
