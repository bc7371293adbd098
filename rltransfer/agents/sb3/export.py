"""Files of plain Stable-Baselines3, written whole or not at all."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

from rltransfer.agents import vec_statistics
from rltransfer.agents.files import atomic_write
from rltransfer.agents.multitask.names import of_one_task
from rltransfer.agents.normalization import Normalization
from rltransfer.errors import NotWritable

if TYPE_CHECKING:
    from rltransfer.agents.agent import Agent


def export(agent: Agent, path: str | Path, *, classes: Mapping[str, type] | None) -> Path:
    """Write the zip, and the statistics beside it; see :meth:`Agent.to_sb3`."""
    of_one_task(agent, "to_sb3")
    path = Path(path).expanduser()
    path = path if path.suffix == ".zip" else path.with_name(path.name + ".zip")
    content = io.BytesIO()
    agent.build(classes=classes).save(content)
    # Statistics first: a zip that is there is complete, and has no others beside it.
    statistics = path.with_suffix(".vecnormalize.pkl")
    if agent.normalization is None:
        remove(statistics)
    else:
        write_vecnormalize(
            statistics, agent.normalization, agent.observation_space, agent.action_space
        )
    atomic_write(path, content.getvalue())
    return path


def remove(statistics: Path) -> None:
    """Remove the statistics of an agent whose zip is about to be replaced by one without any.

    Raises:
        NotWritable: They cannot be removed.
    """
    try:
        statistics.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritable(
            f"{statistics}: statistics of another agent, which cannot be removed: "
            f"{error.strerror}; choose another name"
        ) from error


def write_vecnormalize(
    path: str | Path,
    normalization: Normalization,
    observation_space: gym.Space,
    action_space: gym.Space,
) -> None:
    """Write statistics as the pickle of a plain ``VecNormalize``, for ``VecNormalize.load``.

    Images that are not normalized themselves are taken to be height x width x channels in the
    environment, which SB3 transposes; ``VecNormalize.load`` refuses an environment where they are
    not.

    Args:
        path: The file; its folder must exist.
        normalization: Settings and statistics.
        observation_space: What the policy sees.
        action_space: What the policy gives.

    Raises:
        NotWritable: It could not be written; what was there before is unharmed.
    """
    normalized = set(normalization.obs_stats) if isinstance(normalization.obs_stats, dict) else ()
    space = _before_transposition(observation_space, normalization.obs, normalized)
    venv = vec_statistics.without_environment(normalization, space, action_space)
    atomic_write(path, pickle.dumps(venv))


def _before_transposition(space: gym.Space, normalized: bool, keys: set[str] | tuple) -> gym.Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict(
            [
                (key, _before_transposition(part, key in keys, ()))
                for key, part in space.spaces.items()
            ],
            sort_keys=space.sort_keys,
        )
    if normalized or not isinstance(space, spaces.Box) or not is_image_space(space):
        return space
    if not is_image_space_channels_first(space):
        return space
    low, high = (np.moveaxis(bound, 0, -1) for bound in (space.low, space.high))
    return spaces.Box(low, high, dtype=np.uint8)
