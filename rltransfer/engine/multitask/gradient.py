"""The gradient of a minibatch of several tasks, through torch's autograd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from rltransfer.engine.autograd.gradient import Gradient
from rltransfer.engine.autograd.loss import Losses, columns, ppo_loss
from rltransfer.engine.autograd.minibatches import Minibatch
from rltransfer.engine.multitask.pcgrad import flatten, project, unflatten

PER_ROW = ("actions", "old_log_prob", "old_values", "advantages", "returns")


class MultiTaskGradient(Gradient):
    """The mean over rows of PPO's loss, task by task, on normalized values.

    Args:
        policy: A multi-task policy.
        optimizer: As for :class:`Gradient`.
        batches: As for :class:`Gradient`.
        settings: As for :class:`Gradient`.
        pcgrad: Generator of PCGrad's random order; None for the plain gradient.

    Attributes:
        count: Minibatches so far.
        seen: Number of each minibatch so far and the losses of a task's rows in it, by task index.
        conflicts: Fraction of pairs of tasks in conflict in every minibatch so far, with PCGrad.
    """

    def __init__(
        self,
        policy: Any,
        optimizer: Any,
        batches: Any,
        settings: Any,
        *,
        pcgrad: np.random.Generator | None = None,
    ) -> None:
        super().__init__(policy, optimizer, batches, settings)
        self.count = 0
        self.seen: dict[int, list[tuple[int, Losses]]] = {}
        self.conflicts: list[float] = []
        self._pcgrad = pcgrad
        self._shared, self._own = _split(policy)
        self._parts: list[tuple[float, Tensor]] = []

    def losses(self, rows: Any, index: Tensor) -> Losses:
        """Evaluate the policy on a minibatch, whose rows of one task lie together."""
        batch = self.batches.take(rows, index)
        values, log_prob, entropy = self.policy.evaluate_normalized(
            batch.observations, batch.actions
        )
        tasks = batch.observations[:, 0].long()
        found: list[tuple[float, Losses]] = []
        for task in torch.unique(tasks).tolist():
            own = torch.nonzero(tasks == task).flatten()
            part = _rows(batch, own)
            losses = ppo_loss(values[own], log_prob[own], entropy[own], part, self.settings)
            kept = Losses(losses.total.detach(), *losses[1:])
            self.seen.setdefault(task, []).append((self.count, kept))
            found.append((len(own) / len(tasks), losses))
        self.count += 1
        self._parts = [(weight, losses.total) for weight, losses in found]
        by_name = zip(*(losses for _, losses in found), strict=True)
        weights = [weight for weight, _ in found]
        return Losses(*(_weighted(weights, values) for values in by_name))

    def backward(self, losses: Losses) -> None:
        """Leave the clipped gradient of the loss in the parameters."""
        if self._pcgrad is None:
            super().backward(losses)
            return
        self.optimizer.zero_grad()
        self._surgery(self._pcgrad)
        clip_grad_norm_(self.parameters, self.settings.max_grad_norm)

    def _surgery(self, generator: np.random.Generator) -> None:
        shared = [p for p in self._shared if p.requires_grad]
        own = [p for p in self._own if p.requires_grad]
        rows, used, count = [], [False] * len(shared), len(self._parts)
        for weight, loss in self._parts:
            found = torch.autograd.grad(
                loss * weight, [*shared, *own], retain_graph=True, allow_unused=True
            )
            # Weighed as in the mean over rows, so that without conflicts it is that.
            rows.append(flatten(found[: len(shared)], shared) * count)
            used = [use or g is not None for use, g in zip(used, found, strict=False)]
            _add(own, found[len(shared) :])
        if shared:
            result = project(torch.stack(rows), generator)
            self.conflicts.append(result.conflicts)
            _add(shared, unflatten(result.gradient, shared, used=used))

    def means(self, epochs: int, batches: int) -> dict[int, dict[str, float]]:
        """Means over the rows of each task, by its index; of the divergence, in the last epoch.

        Args:
            epochs: Epochs that were begun.
            batches: Minibatches of a whole epoch.
        """
        last = (epochs - 1) * batches
        return {task: _means(seen, last) for task, seen in self.seen.items()}


def _means(seen: list[tuple[int, Losses]], last: int) -> dict[str, float]:
    read = columns([losses for _, losses in seen])
    of_last = torch.tensor([count >= last for count, _ in seen])
    kl = read.kl[of_last] if bool(of_last.any()) else read.kl
    return {
        "policy_loss": read.policy.mean().item(),
        "value_loss": read.value.mean().item(),
        "entropy_loss": read.entropy.mean().item(),
        "approx_kl": kl.mean().item(),
        "clip_fraction": read.clip_fraction.mean().item(),
    }


def _split(policy: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters that several tasks share, and those of single tasks."""
    encoders = Counter(task.encoder for task in policy.tasks)
    heads = Counter(task.head for task in policy.tasks)
    shared, own = [], []
    for name, parameter in policy.named_parameters():
        kind, *rest = name.removeprefix("actor.").removeprefix("critic.").split(".")
        users = {"encoders": encoders, "action_heads": heads, "log_stds": heads}
        single = kind == "value_heads" or (kind in users and users[kind][rest[0]] == 1)
        (own if single else shared).append(parameter)
    return shared, own


def _rows(batch: Minibatch, own: Tensor) -> Minibatch:
    changed: Mapping[str, Any] = {name: getattr(batch, name)[own] for name in PER_ROW}
    return batch._replace(**changed)


def _weighted(weights: list[float], values: Any) -> Tensor:
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total


def _add(parameters: list[Tensor], gradients: Any) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            known = parameter.grad
            parameter.grad = gradient.clone() if known is None else known + gradient
