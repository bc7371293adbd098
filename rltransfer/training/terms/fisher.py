"""Fisher information of a policy's actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from rltransfer.training.terms.actions import Actions
from rltransfer.training.terms.teacher import Teacher, part_of

FLOATS = 2**24
"""Of derivatives that are held at once."""


class _Readings(nn.Module):
    """What a policy's actions in one state depend on, and how much each reading tells.

    With v and w as given, ``sum_k w_k (dv_k / dw_i)^2`` is the expectation over actions of the
    squared derivative of their log probability. Choices have their log probabilities, with the
    probabilities as weights; normal distributions have mean and log standard deviation, with
    ``1 / std^2`` and 2.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, seen: Any) -> tuple[Tensor, Tensor]:
        """Give v and w of one state, of which ``seen`` has one row."""
        actions = Actions.of(self.policy.get_distribution(seen))
        if actions.log_std is not None:
            parts = [actions.outputs, actions.log_std]
            weights = [(-2 * actions.log_std).exp(), torch.full_like(actions.log_std, 2.0)]
        else:
            parts = actions.log_parts()
            weights = [part.exp() for part in parts]
        return torch.cat(parts, dim=-1)[0], torch.cat(weights, dim=-1)[0].detach()


@torch.no_grad()
def fisher(teacher: Teacher, raw: Any, names: Iterable[str]) -> dict[str, Tensor]:
    """Diagonal of the Fisher information, ``E_s E_{a ~ policy} (d log policy(a|s) / dw_i)^2``.

    Args:
        teacher: The policy.
        raw: N states, as :meth:`Teacher.see` takes them.
        names: Names of its parameters.

    Returns:
        The mean over the states, by name, in the shape of each parameter. The expectation over
        actions is exact; for a normal distribution it is
        ``sum_d (d mean_d)^2 / std_d^2 + 2 (d log std_d)^2``.
    """
    readings = _Readings(teacher.policy)
    held = dict(readings.named_parameters())
    chosen = {f"policy.{name}": held[f"policy.{name}"].detach() for name in names}

    def read(parameters: dict[str, Tensor], row: Any) -> tuple[Tensor, Tensor]:
        one = {k: v[None] for k, v in row.items()} if isinstance(row, dict) else row[None]
        return functional_call(readings, parameters, (one,))

    derive = vmap(jacrev(read, has_aux=True), in_dims=(None, 0))
    total = {key: torch.zeros_like(value) for key, value in chosen.items()}
    count = len(next(iter(raw.values()))) if isinstance(raw, dict) else len(raw)
    width = len(read(chosen, _first(teacher.see(part_of(raw, slice(0, 1)))))[0])
    rows = max(1, FLOATS // (width * sum(value.numel() for value in chosen.values())))
    for start in range(0, count, rows):
        slopes, weights = derive(chosen, teacher.see(part_of(raw, slice(start, start + rows))))
        for key, slope in slopes.items():
            total[key] += torch.einsum("bk,bk...->...", weights, slope.square())
    return {key.removeprefix("policy."): value / count for key, value in total.items()}


def _first(seen: Any) -> Any:
    return {key: part[0] for key, part in seen.items()} if isinstance(seen, dict) else seen[0]
