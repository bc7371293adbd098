"""The whole update of PPO, minibatch by minibatch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from rltransfer.engine.autograd.gradient import Gradient
from rltransfer.engine.autograd.graph import GraphGradient, why_no_graph
from rltransfer.engine.autograd.loss import Losses, columns
from rltransfer.engine.autograd.minibatches import Minibatches, Observations
from rltransfer.engine.autograd.optimizing import fused
from rltransfer.engine.features import FeatureCache
from rltransfer.engine.records import Rollout, Settings, Statistics
from rltransfer.engine.terms import Terms
from rltransfer.heartbeat import beat


def train(
    policy: Any,
    optimizer: Optimizer,
    observations: Observations,
    rollout: Rollout,
    settings: Settings,
    cache: FeatureCache | None = None,
    *,
    cuda_graph: bool = False,
    notes: list[str] | None = None,
    make_gradient: Callable[..., Gradient] = Gradient,
    terms: Terms | None = None,
) -> Statistics:
    """Update a policy on a rollout, as SB3's ``PPO.train`` does, with the same numbers.

    The policy is evaluated by its own ``evaluate_actions``, unless activations of its frozen
    layers are at hand. The optimizer is the given one, with the learning rates that its groups
    hold now; gradients are left as the last minibatch made them.

    Args:
        policy: An ``ActorCriticPolicy``. It is put into training mode.
        optimizer: Its optimizer, of any class.
        observations: The rollout buffer's, shape (n_steps, n_envs, ...), or a dict of such. They
            are not copied, but on a GPU with room for them.
        rollout: The rest of the rollout.
        settings: Hyperparameters; learning rates are the optimizer's own.
        cache: Activations of the policy's frozen layers; ignored if it is valid no more.
        cuda_graph: Whether to replay the gradient as a CUDA graph, where the policy allows it.
        notes: Gets the reason why a graph that was asked for is not used.
        make_gradient: Class that computes the gradient of a minibatch.
        terms: What is added to the loss of PPO; None for nothing.

    Returns:
        What SB3 would log.
    """
    policy.set_training_mode(True)
    usable = cache if cache is not None and cache.valid() else None
    batches = Minibatches(policy, observations, rollout, usable)
    added = {} if terms is None else {"terms": terms}
    gradient = make_gradient(policy, optimizer, batches, settings, **added)
    if cuda_graph:
        reason = "the recipe adds to the loss" if terms else why_no_graph(policy, batches)
        if reason is None:
            gradient = GraphGradient(gradient, settings.batch_size)
        elif notes is not None:
            notes.append(f"no CUDA graph: {reason}")
    with fused(optimizer):
        return _epochs(gradient, rollout)


def _epochs(gradient: Gradient, rollout: Rollout) -> Statistics:
    settings = gradient.settings
    seen: list[Losses] = []
    epoch_begins, epoch = 0, -1
    for epoch in range(settings.n_epochs):
        epoch_begins = len(seen)
        shuffled = rollout.permutation()
        index = gradient.batches.index(shuffled)
        for start in range(0, len(shuffled), settings.batch_size):
            part = slice(start, start + settings.batch_size)
            losses = gradient.losses(shuffled[part], index[part])
            seen.append(Losses(losses.total.detach(), *losses[1:]))
            if _diverged(losses, settings):
                return _statistics(seen, epoch_begins, epoch, stopped=True)
            gradient.backward(losses)
            gradient.step()
            beat()
    return _statistics(seen, epoch_begins, epoch, stopped=False)


def _diverged(losses: Losses, settings: Settings) -> bool:
    if settings.target_kl is None:
        return False
    # Compared in the precision of the policy, as SB3 does; reading it waits for a GPU.
    return bool(losses.kl.cpu().numpy() > 1.5 * settings.target_kl)


def _statistics(seen: list[Losses], epoch_begins: int, epoch: int, *, stopped: bool) -> Statistics:
    read = columns(seen)
    return Statistics(
        policy_loss=read.policy.mean().item(),
        value_loss=read.value.mean().item(),
        entropy_loss=read.entropy.mean().item(),
        approx_kl=read.kl[epoch_begins:].mean().item(),
        clip_fraction=read.clip_fraction.mean().item(),
        loss=read.total[-1].item(),
        epochs=epoch + 1,
        stopped_at=epoch if stopped else None,
        kl=read.kl[-1].item() if stopped else math.nan,
    )
