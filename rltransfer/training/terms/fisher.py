"""Fisher information of a policy's actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from rltransfer.training.terms.actions import Actions
from rltransfer.training.terms.teacher import Teacher, part_of


def fisher(teacher: Teacher, raw: Any, names: Iterable[str]) -> dict[str, Tensor]:
    """Diagonal of the Fisher information, ``E_s E_{a ~ policy} (d log policy(a|s) / dw_i)^2``.

    The expectation over actions is exact, so nothing is sampled. States are taken one by one, for
    the squares of a sum are not the sum of squares.

    Args:
        teacher: The policy.
        raw: N states, as :meth:`Teacher.see` takes them.
        names: Names of its parameters.

    Returns:
        The mean over the states, by name, in the shape of each parameter.
    """
    named = dict(teacher.policy.named_parameters())
    chosen = {name: named[name] for name in names}
    total = {name: torch.zeros_like(one) for name, one in chosen.items()}
    count = len(next(iter(raw.values()))) if isinstance(raw, dict) else len(raw)
    teacher.policy.requires_grad_(True)
    try:
        for row in range(count):
            seen = teacher.see(part_of(raw, slice(row, row + 1)))
            _add(total, chosen, Actions.of(teacher.policy.get_distribution(seen)))
    finally:
        teacher.policy.requires_grad_(False)
    return {name: one / count for name, one in total.items()}


def _add(total: dict[str, Tensor], chosen: dict[str, Tensor], actions: Actions) -> None:
    """Add what the actions in one state tell of each parameter."""
    for reading, weight in zip(*_readings(actions), strict=True):
        slopes = torch.autograd.grad(
            reading, list(chosen.values()), retain_graph=True, allow_unused=True
        )
        for sum_, slope in zip(total.values(), slopes, strict=True):
            if slope is not None:
                sum_ += weight * slope.square()


def _readings(actions: Actions) -> tuple[Tensor, Tensor]:
    """Give v and w of one state, whose Fisher information is ``sum_k w_k (dv_k / dw_i)^2``.

    Of choices these are their log probabilities, and the probabilities; of normal distributions
    mean and log standard deviation, and ``1 / std^2`` and 2.
    """
    if actions.log_std is None:
        parts = torch.cat(actions.log_parts(), dim=-1)
        return parts[0], parts[0].detach().exp()
    precision = (-2 * actions.log_std).exp()
    readings = torch.cat([actions.outputs, actions.log_std], dim=-1)
    return readings[0], torch.cat([precision, torch.full_like(precision, 2.0)], dim=-1)[0].detach()
