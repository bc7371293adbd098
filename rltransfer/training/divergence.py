"""Noticing at once that training has diverged."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.utils import get_total_norm

from rltransfer.errors import Diverged


@torch.no_grad()
def require_finite(model: Any) -> None:
    """Refuse a loss, gradient or weight that is NaN or infinite, after an update.

    One norm over all of them is one reduction, and NaN and infinity survive it. It can overflow
    too, so only a norm that is not finite is looked into, tensor by tensor. The gradient is that of
    the last minibatch: one that was not finite before has spoilt the weights.

    Args:
        model: PPO, MaskablePPO or RecurrentPPO.

    Raises:
        Diverged: Something is not finite.
    """
    loss = float(model.logger.name_to_value.get("train/loss", 0.0))
    norm = get_total_norm([tensor for _, tensor in _tensors(model)])
    if math.isfinite(loss) and math.isfinite(float(norm)):
        return
    broken = [name for name, tensor in _tensors(model) if not torch.isfinite(tensor).all()]
    if broken or not math.isfinite(loss):
        raise _broken(model, loss, broken)


def _tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Weights, gradients and buffers that hold numbers with a fraction."""
    for name, parameter in model.policy.named_parameters():
        yield name, parameter.detach()
        if parameter.grad is not None:
            yield name, parameter.grad
    for name, buffer in model.policy.named_buffers():
        if buffer.is_floating_point():
            yield name, buffer


@contextmanager
def divergence_named(model: Any) -> Iterator[None]:
    """Name the error of a policy whose outputs are not finite, while its weights still are.

    Distributions refuse such outputs with a ``ValueError`` half-way through an update or a rollout.
    Observations were checked before, so the weights are the cause.

    Args:
        model: PPO, MaskablePPO or RecurrentPPO.

    Raises:
        Diverged: In place of that error.
    """
    try:
        yield
    except ValueError as error:
        if not _raised_in(error).startswith(_REFUSING):
            raise
        why = str(error).splitlines()[0]
        raise _error(model, f"the policy's outputs are not finite: {why:.120}", []) from error


# Where outputs of a policy are checked.
_REFUSING = ("torch.distributions.", "rltransfer.engine.closed_form.")


def _raised_in(error: BaseException) -> str:
    """Name of the module that raised an error."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", ""))


def _broken(model: Any, loss: float, names: list[str]) -> Diverged:
    groups = _groups(model, names)
    what = [] if math.isfinite(loss) else [f"the loss is {loss}"]
    what += [f"weights or gradients are not finite in {', '.join(groups)}"] if groups else []
    return _error(model, "; ".join(what), groups)


def _error(model: Any, what: str, groups: list[str]) -> Diverged:
    rate = float(model.policy.optimizer.param_groups[0]["lr"])
    return Diverged(
        f"training diverged at step {model.num_timesteps:,} with learning rate {rate:g}: {what}; "
        f"lower it, such as --set learning_rate={rate / 10:g}",
        details={"step": model.num_timesteps, "groups": groups, "learning_rate": rate},
    )


def _groups(model: Any, names: list[str]) -> list[str]:
    """Layer groups of tensors; their own names where there are no groups."""
    if model.transfer is None:
        return sorted(set(names))
    groups = model.transfer.scheduler.groups.items()
    return [name for name, group in groups if set(group.keys) & set(names)]
