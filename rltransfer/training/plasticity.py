"""How well a network can still learn, as it shows in its hidden units."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor

from rltransfer.engine.plan import has_plain_observations
from rltransfer.training.units import BOUNDED, RECTIFYING, hidden_layers, outputs, some

DORMANT = 0.025
"""A unit is dormant whose mean ``|h|`` is at most so much of its layer's (Sokar et al. 2023)."""
SATURATED = 0.99
ROWS = 1000
"""States that are looked at, at most."""
STEPS = 4096
"""Steps of environments between two looks, at least: a look takes as long as 30 steps or so."""


def due(model: Any) -> bool:
    """Tell whether to look after this update: after the first, and then every so many steps."""
    rows = model.rollout_buffer.buffer_size * model.n_envs
    last = model.num_timesteps - 1
    return last // STEPS != (last - rows) // STEPS


@torch.no_grad()
def plasticity(model: Any) -> dict[str, float]:
    """Measure what goes with a network that stops to learn, on states of the last rollout.

    Args:
        model: A model with a full rollout buffer.

    Returns:
        ``weight_norm``, the L2 norm of all parameters; of the hidden units of actor and critic
        ``dormant``, the share of those of ReLU and its relatives with next to no output, or
        ``saturated``, how often those of tanh are within 0.01 of their ends; and
        ``effective_rank`` of what the actor's head reads (Roy & Vetterli 2007: the exponential of
        the entropy of normalized singular values), from 1 to its width. Only the first where
        observations are no vectors, or actor and critic no chains of linear layers.
    """
    parameters = [one.detach().flatten() for one in model.policy.parameters()]
    found = {"weight_norm": float(torch.cat(parameters).norm())}
    layers = hidden_layers(model.policy) if has_plain_observations(model) else []
    if not layers:
        return found
    buffer: Any = model.rollout_buffer
    # SB3's own update leaves (rows, ...) where others leave (steps, environments, ...).
    seen = some(buffer.observations.reshape(-1, *buffer.obs_shape), ROWS)
    said = outputs(model.policy, obs_as_tensor(seen, model.device))
    shares = {"dormant": (RECTIFYING, dormant), "saturated": (BOUNDED, saturated)}
    for name, (kinds, tell) in shares.items():
        told = [tell(said[one.name]) for one in layers if isinstance(one.activation, kinds)]
        if told:
            found[name] = float(torch.cat(told).float().mean())
    actors = [one.name for one in layers if one.name.startswith("actor")]
    if actors:
        found["effective_rank"] = effective_rank(said[actors[-1]])
    return found


def dormant(said: Tensor) -> Tensor:
    """Which units of ReLU and its relatives do next to nothing.

    Args:
        said: What they say in B states, shape (B, units).

    Returns:
        Shape (units,).
    """
    size = said.abs().mean(0)
    return size <= DORMANT * size.mean()


def saturated(said: Tensor) -> Tensor:
    """How often each unit of tanh is near one of its ends; arguments as for :func:`dormant`."""
    return (said.abs() > SATURATED).float().mean(0)


def effective_rank(rows: Tensor) -> float:
    """Exponential of the entropy of normalized singular values (Roy & Vetterli 2007).

    Args:
        rows: A matrix, shape (B, width).

    Returns:
        From 1 to the smaller of both; 0 for zeros.
    """
    # Singular values are roots of the eigenvalues of the small square matrix, which come faster.
    wide = rows.double()
    values = torch.linalg.eigvalsh(wide.T @ wide).clamp(min=0).sqrt()
    if not values.any():
        return 0.0
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())
