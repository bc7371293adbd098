"""What a policy did and saw of late, for those who infer from it how the world works."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class History:
    """The last transitions of each row of a batch; it is never changed in place.

    Attributes:
        window: ``(s, a, s' - s, 1)`` of the last ``k`` transitions, newest last; all 0 where the
            episode is not that old, (rows, k, width).
        seen: Last observation, (rows, n).
        done: Last action, encoded, (rows, m).
    """

    window: Floats
    seen: Floats
    done: Floats

    @classmethod
    def empty(cls, rows: int, length: int, observed: int, acted: int) -> History:
        """No transitions.

        Args:
            rows: Size of the batch.
            length: Transitions that are remembered, ``k``.
            observed: Length of an observation.
            acted: Length of an encoded action.
        """
        window = np.zeros((rows, length, width(observed, acted)), np.float32)
        seen, done = np.zeros((rows, observed)), np.zeros((rows, acted))
        return cls(window, seen.astype(np.float32), done.astype(np.float32))

    def observe(self, observations: Floats, starts: NDArray[np.bool_]) -> History:
        """Add the transitions that ended in these observations.

        Args:
            observations: New observations, (rows, n).
            starts: Rows whose episode begins with them, which forget the one before, (rows,).
        """
        flag = np.ones((len(observations), 1), np.float32)
        new = np.concatenate([self.seen, self.done, observations - self.seen, flag], axis=1)
        window = np.concatenate([self.window[:, 1:], new[:, None]], axis=1)
        window[starts] = 0
        return replace(self, window=window, seen=observations.astype(np.float32))

    def act(self, actions: Floats) -> History:
        """Remember the actions that were taken at the last observations, encoded, (rows, m)."""
        return replace(self, done=actions)

    @property
    def ages(self) -> NDArray[np.int64]:
        """Number of transitions in the window of each row, (rows,)."""
        return self.window[:, :, -1].sum(axis=1).astype(np.int64)


def width(observed: int, acted: int) -> int:
    """Numbers that describe a transition between observations, by an encoded action."""
    return 2 * observed + acted + 1


def encoded(space: spaces.Space, actions: np.ndarray) -> Floats:
    """Write actions as vectors, discrete ones one-hot.

    Args:
        space: Space of one action.
        actions: A batch, (rows, ...).
    """
    flat = [spaces.flatten(space, action) for action in actions]
    return np.array(flat, np.float32).reshape(len(flat), spaces.flatdim(space))
