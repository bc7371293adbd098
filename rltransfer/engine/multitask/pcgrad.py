"""Gradient surgery: tasks whose gradients conflict give way to each other (PCGrad).

Source: Yu et al. 2020, "Gradient surgery for multi-task learning", algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, kw_only=True)
class PCGradResult:
    """What became of the gradients of several tasks.

    Attributes:
        gradient: Mean over tasks of the projected gradients, shape (D,): the plain mean where no
            two tasks conflict.
        conflicts: Ordered pairs of tasks whose gradients have a negative cosine, as a fraction of
            all such pairs; 0 for one task.
    """

    gradient: torch.Tensor
    conflicts: float


def project(gradients: torch.Tensor, rng: np.random.Generator) -> PCGradResult:
    """Project each task's gradient onto the normal plane of each one that it conflicts with.

    For each task i, for each other task j in random order: where ``g_i . g_j < 0``, with g_j as it
    was given and g_i as projected so far, ``g_i -= (g_i . g_j / |g_j|^2) g_j``. A zero gradient
    conflicts with none.

    Args:
        gradients: One gradient per task, shape (T, D), T >= 1.
        rng: Source of the orders; it draws one permutation of the tasks per task.
    """
    products = (gradients @ gradients.T).detach().to("cpu", torch.float64).numpy()
    # A projected gradient is a sum of the given ones, so its products with them follow from
    # those between them: all that happens to D numbers is one sum at the end.
    mixture = np.mean([_coefficients(products, i, rng) for i in range(len(products))], axis=0)
    weights = torch.as_tensor(mixture, dtype=gradients.dtype, device=gradients.device)
    return PCGradResult(gradient=weights @ gradients, conflicts=_conflicts(products))


def _coefficients(products: np.ndarray, task: int, rng: np.random.Generator) -> np.ndarray:
    """Projected gradient of a task as coefficients of all tasks' gradients, shape (T,)."""
    coefficients = np.zeros(len(products))
    coefficients[task] = 1.0
    with_others = products[task].copy()
    for other in rng.permutation(len(products)):
        square = products[other, other]
        if other != task and with_others[other] < 0 < square:
            share = with_others[other] / square
            coefficients[other] -= share
            with_others -= share * products[other]
    return coefficients


def _conflicts(products: np.ndarray) -> float:
    tasks = len(products)
    # The diagonal has squares, which are never negative.
    return float((products < 0).sum() / max(tasks * (tasks - 1), 1))


def flatten(
    gradients: Iterable[torch.Tensor | None], parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Join gradients into one vector.

    Args:
        gradients: One for each parameter, None where it has none (``torch.autograd.grad`` with
            ``allow_unused=True``, or ``parameter.grad``); it counts as zero.
        parameters: The parameters, all of one dtype and on one device.

    Returns:
        Shape (D,), D numbers in all parameters; a copy.
    """
    pairs = zip(gradients, parameters, strict=True)
    parts = [(torch.zeros_like(p) if g is None else g).detach().reshape(-1) for g, p in pairs]
    return torch.cat(parts) if parts else torch.zeros(0)


def unflatten(
    vector: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    *,
    used: Iterable[bool] | None = None,
) -> list[torch.Tensor | None]:
    """Cut a vector back into gradients; the inverse of :func:`flatten`.

    Args:
        vector: Shape (D,).
        parameters: The parameters.
        used: Whether any task has a gradient for it, for each parameter. One that none has must
            keep None: given zeros instead, an optimizer with momentum would still move it.
            None stands for all.

    Returns:
        For each parameter a view of its shape, or None where it is unused.

    Raises:
        ValueError: The vector has another number of elements than the parameters.
    """
    sizes = [parameter.numel() for parameter in parameters]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"expected a vector of {sum(sizes)} numbers, got {tuple(vector.shape)}")
    pieces = vector.split(sizes) if sizes else ()
    wanted = [True] * len(sizes) if used is None else used
    pairs = zip(pieces, parameters, wanted, strict=True)
    return [piece.view(parameter.shape) if use else None for piece, parameter, use in pairs]
