"""Infos of vector environments, for each of their environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# What SAME_STEP tells of episodes that ended; the other entries are then of the next episodes.
FINAL = ("final_obs", "final_info")


def split(infos: Mapping[str, Any], n_envs: int) -> list[dict[str, Any]]:
    """Distribute the infos of a vector environment over its environments.

    Args:
        infos: Columns by name. A boolean mask ``_name`` says which environments have an entry;
            without one, all have. A column that is not one entry per environment holds for all.
        n_envs: Number of environments.

    Returns:
        One dict for each environment, without the masks and without :data:`FINAL`.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(n_envs)]
    for name, column in infos.items():
        if name in FINAL or (name[:1] == "_" and name[1:] in infos):
            continue
        mask = infos.get(f"_{name}")
        entries = split(column, n_envs) if isinstance(column, Mapping) else per_env(column, n_envs)
        for index in range(n_envs) if mask is None else np.flatnonzero(mask):
            rows[index][name] = entries[index]
    return rows


def per_env(values: Any, n_envs: int) -> Any:
    """Return one entry for each environment.

    Args:
        values: An array whose first dimension is the environments, or one value for all of them.
        n_envs: Number of environments.
    """
    if isinstance(values, np.ndarray) and values.ndim and len(values) == n_envs:
        return values
    return [values] * n_envs
