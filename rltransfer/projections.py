"""Projections of flat observations, and the adapter that shows them to a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import WrapperSpec
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rltransfer.errors import BadArgument, SpaceMismatch

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """From observations ``x`` of ``n`` numbers to ``m``, with ``z = (x - mean) / scale``.

    Without landmarks it is ``z @ weights``; with them, it is ``k @ weights``, where ``k`` holds the
    Gaussian kernels ``exp(-|z - landmark|^2 / width)``.

    Attributes:
        mean: Shape (n,).
        scale: Shape (n,), > 0.
        weights: Shape (n, m), or (landmarks, m).
        landmarks: Shape (landmarks, n); None for a linear projection.
        width: Of the kernels, in squared units of ``z``; > 0.

    Raises:
        BadArgument: The shapes do not fit, a number is not finite, or one has to be above 0.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    landmarks: Floats | None = None
    width: float = 1.0

    def __post_init__(self) -> None:
        columns = self.mean.shape[:1]
        rows = columns if self.landmarks is None else self.landmarks.shape[:1]
        fits = self.mean.ndim == 1 and self.scale.shape == columns and self.weights.ndim == 2
        flat = self.landmarks is None or self.landmarks.shape[1:] == columns
        if not fits or not flat or self.weights.shape[:1] != rows:
            raise BadArgument(
                "a projection got arrays that do not fit: give mean and scale of shape (n,), "
                "weights of shape (n, m), or landmarks of (k, n) and weights of (k, m)"
            )
        given = [self.mean, self.scale, self.weights, self.width]
        given += [] if self.landmarks is None else [self.landmarks]
        finite = all(np.isfinite(one).all() for one in given)
        if not finite or not (self.scale > 0).all() or not self.width > 0:
            raise BadArgument("a projection needs finite numbers, and scale and width above 0")

    def __call__(self, observations: NDArray[Any]) -> Floats:
        """Project observations, (..., n) -> (..., m)."""
        z = (observations - self.mean) / self.scale
        if self.landmarks is None:
            return z @ self.weights
        return gaussian_kernel(z, self.landmarks, self.width) @ self.weights

    def adapter(self) -> WrapperSpec:
        """Describe the adapter that shows these projections, for :func:`rltransfer.adapted`."""
        return ProjectObservation.wrapper_spec(
            mean=self.mean.tolist(),
            scale=self.scale.tolist(),
            weights=self.weights.tolist(),
            landmarks=None if self.landmarks is None else self.landmarks.tolist(),
            width=float(self.width),
        )


class ProjectObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """Shows a projection of a flat observation instead of it.

    Args:
        env: Environment with a one-dimensional Box of ``n`` observations.
        mean: See :class:`Projection`, as all below.
        scale: Shape (n,).
        weights: Shape (n, m), or (landmarks, m).
        landmarks: Shape (landmarks, n).
        width: Of the kernels.

    Raises:
        SpaceMismatch: The observations are not a one-dimensional Box of ``n``.
        BadArgument: The arguments are no projection.
    """

    def __init__(
        self,
        env: gym.Env,
        mean: Sequence[float],
        scale: Sequence[float],
        weights: Sequence[Sequence[float]],
        landmarks: Sequence[Sequence[float]] | None = None,
        width: float = 1.0,
    ) -> None:
        RecordConstructorArgs.__init__(
            self, mean=mean, scale=scale, weights=weights, landmarks=landmarks, width=width
        )
        gym.ObservationWrapper.__init__(self, env)
        self._projection = Projection(
            mean=np.asarray(mean, np.float64),
            scale=np.asarray(scale, np.float64),
            weights=np.asarray(weights, np.float64),
            landmarks=None if landmarks is None else np.asarray(landmarks, np.float64),
            width=width,
        )
        space = env.observation_space
        if not isinstance(space, spaces.Box) or space.shape != self._projection.mean.shape:
            raise SpaceMismatch(
                f"ProjectObservation projects {len(self._projection.mean)} observations, and the "
                f"environment has {space}: fit the projection to its own observations"
            )
        shape = self._projection.weights.shape[1:]
        self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)

    def observation(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """Project an observation, (n,) -> (m,)."""
        return self._projection(observation).astype(np.float32)


def gaussian_kernel(x: NDArray[Any], landmarks: NDArray[Any], width: float) -> Floats:
    """Compute ``exp(-|x - landmark|^2 / width)``.

    Args:
        x: Shape (..., n).
        landmarks: Shape (k, n).
        width: > 0.

    Returns:
        Shape (..., k).
    """
    return np.exp(-squared_distances(x, landmarks) / width)


def squared_distances(x: NDArray[Any], landmarks: NDArray[Any]) -> Floats:
    """Compute ``|x - landmark|^2``, (..., n) and (k, n) -> (..., k)."""
    lengths = np.square(x).sum(-1)[..., None] + np.square(landmarks).sum(-1)
    return np.maximum(lengths - 2 * x @ landmarks.T, 0.0)
