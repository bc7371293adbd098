"""What tasks share, carried from one multi-task model to another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rltransfer.layers import layer_groups, select

Weights = dict[str, torch.Tensor]
PATTERNS = ("encoder.*", "trunk.*")


def save(model: Any, path: Path) -> None:
    """Write encoders, trunk and observation statistics of a model, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n")
    state = model.policy.state_dict()
    kept = {key: state[key].contiguous().clone() for key in _keys(model)}
    unfinished = path.with_suffix(".part")
    save_file(kept, unfinished)
    unfinished.replace(path.with_suffix(".safetensors"))


def load(path: Path) -> Weights:
    """Read what :func:`save` wrote."""
    return load_file(path.with_suffix(".safetensors"))


def put(model: Any, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Copy a backbone into a model on other tasks.

    Returns:
        Names of the tensors that do not fit and stay as they were drawn: those whose size depends
        on the number of tasks.

    Raises:
        KeyError: A tensor of the model's backbone is not there.
    """
    state = model.policy.state_dict()
    keys = _keys(model)
    fits = [key for key in keys if state[key].shape == weights[key].shape]
    model.policy.load_state_dict({key: weights[key] for key in fits}, strict=False)
    return [key for key in keys if key not in fits]


def permuted(weights: Mapping[str, torch.Tensor], seed: int) -> Weights:
    """Shuffle each tensor within itself; statistics of observations stay."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: value if is_statistic(key) else _shuffled(value, generator)
        for key, value in sorted(weights.items())
    }


def statistics(weights: Mapping[str, torch.Tensor]) -> Weights:
    """The statistics of observations alone."""
    return {key: value for key, value in weights.items() if is_statistic(key)}


def is_statistic(key: str) -> bool:
    """Whether a tensor holds statistics of observations."""
    return key.startswith("observation_stats.")


def _shuffled(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    order = torch.randperm(value.numel(), generator=generator)
    return value.flatten()[order].reshape(value.shape)


def _keys(model: Any) -> list[str]:
    groups = layer_groups(model.policy)
    return [key for name in select(PATTERNS, groups) for key in groups[name].keys]
