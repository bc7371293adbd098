"""Observations of all episodes, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rltransfer.finite import all_finite, first_not_finite, float_keys


class Batch:
    """Observations of all episodes in arrays that are written in place, one row per episode.

    Parts without a shape (text) are left out: no policy of Stable-Baselines3 reads them.

    Args:
        space: Space of one observation.
        rows: Number of episodes.
    """

    def __init__(self, space: spaces.Space, rows: int) -> None:
        parts: dict[Any, spaces.Space] = {None: space}
        if isinstance(space, spaces.Dict):
            parts = dict(space.spaces)
        elif isinstance(space, spaces.Tuple):
            parts = dict(enumerate(space.spaces))
        self._arrays = {
            key: np.zeros((rows, *part.shape), part.dtype)
            for key, part in parts.items()
            if part.shape is not None
        }
        self._floats = [self._arrays[key] for key in float_keys(space)]
        self._float_keys = float_keys(space)

    @property
    def observations(self) -> Any:
        """An array, or a dict of arrays."""
        return self._arrays.get(None, self._arrays)

    def put(self, row: int, observation: Any) -> None:
        """Write one row."""
        for key, array in self._arrays.items():
            array[row] = observation if key is None else observation[key]

    def put_rows(self, rows: Sequence[int], observations: np.ndarray) -> None:
        """Write some rows of a whole batch; its observations are arrays."""
        array = self._arrays[None]
        if len(rows) == len(array):
            array[...] = observations
        else:
            array[rows] = observations[rows]

    def first_not_finite(self) -> tuple[tuple[int, ...], str] | None:
        """Find a NaN or infinity, as :func:`rltransfer.finite.first_not_finite` does."""
        if all(map(all_finite, self._floats)):
            return None
        return first_not_finite(self.observations, self._float_keys)
