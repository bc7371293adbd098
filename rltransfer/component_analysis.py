"""Transfer component analysis (Pan et al. 2011): observations in which two tasks look alike.

A projection of observations is fitted to samples of both tasks, such that their means in the space
of its kernel come close while the spread of all samples stays. A policy that is pretrained on
projected observations of the source can then be fine-tuned on those of the target.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from rltransfer import registry
from rltransfer.agents.numbers import whole
from rltransfer.errors import BadArgument
from rltransfer.projections import Floats, Projection, gaussian_kernel, squared_distances
from rltransfer.registry import id_of
from rltransfer.strict import FiniteEnv
from rltransfer.trajectories import play

Kernel = Literal["rbf", "linear"]
LIMIT = 500
"""Samples of either task that a projection is fitted to; time grows with the cube."""


def tca(
    source: NDArray[Any],
    target: NDArray[Any],
    dims: int,
    *,
    mu: float = 1.0,
    kernel: Kernel = "rbf",
    limit: int = LIMIT,
) -> Projection:
    """Fit a projection in which observations of two tasks look alike.

    The weights are the ``dims`` leading eigenvectors of ``(K L K + mu I)^-1 K H K`` (Pan et al.
    2011, equation 7) of all samples, standardized together; each component is scaled to unit
    variance. The same projection serves both tasks, so that sensors which traded places stay so.

    Args:
        source: Observations of the source, shape (N, n).
        target: Observations of the target, shape (M, n), gathered in the same way.
        dims: Number of components, from 1; at most ``n`` for a linear kernel, and at most the
            number of samples that are used for the other.
        mu: Weight of small weights against tasks that look alike, > 0.
        kernel: ``"rbf"``, Gaussian with the median squared distance as its width; or ``"linear"``,
            which makes nothing but the means alike.
        limit: Samples of either task that are used, evenly spaced rows; at least 2.

    Raises:
        BadArgument: An argument is out of its range.
    """
    samples = [_rows(source, "source", limit), _rows(target, "target", limit)]
    if samples[0].shape[1] != samples[1].shape[1]:
        raise BadArgument(
            f"source has {samples[0].shape[1]} columns and target {samples[1].shape[1]}: select or "
            "pad them until both have the same"
        )
    both = np.concatenate(samples)
    most = both.shape[1] if kernel == "linear" else len(both)
    _check(dims, most, mu, kernel)
    mean, std = both.mean(0), both.std(0)
    scale = np.where(std > 0, std, 1.0)
    z = (both - mean) / scale
    signs = np.repeat([1.0, -1.0], [len(one) for one in samples])
    means = signs / np.where(signs > 0, len(samples[0]), len(samples[1]))
    if kernel == "linear":
        weights = z.T @ _components(z @ z.T, means, dims, mu)
        return Projection(mean=mean, scale=scale, weights=_unit(weights, z))
    width = _median(squared_distances(z, z))
    gram = gaussian_kernel(z, z, width)
    weights = _unit(_components(gram, means, dims, mu), gram)
    return Projection(mean=mean, scale=scale, weights=weights, landmarks=z, width=width)


def random_observations(task: str | EnvSpec, count: int, *, seed: int = 0) -> NDArray[Any]:
    """Observe a task under uniformly random actions.

    Args:
        task: Gymnasium id, ``module:Id``, or spec, of a task with array observations.
        count: Number of observations, which take about as many environment steps.
        seed: Seed of the environment and the actions.

    Returns:
        Shape (count, ...).

    Raises:
        BadArgument: ``count`` or ``seed`` is out of range, or observations are no arrays.
        UnknownName: There is no such task.
        BadEnvironment: The task breaks its contract.
    """
    count, seed = whole("count", count, least=1), whole("seed", seed)
    with closing(FiniteEnv(registry.make(task))) as env:
        if isinstance(env.observation_space, spaces.Dict | spaces.Tuple):
            raise BadArgument(f"{id_of(task)} observes {env.observation_space}: expected arrays")
        return np.stack([entry[0] for entry in play(env, seed=seed, steps=count - 1)])


def _components(gram: Floats, means: Floats, dims: int, mu: float) -> Floats:
    """Leading eigenvectors of ``(K L K + mu I)^-1 K H K``, shape (N, dims).

    ``K L K`` is ``v v^T`` with ``v = K means``, so that ``(v v^T + mu I)^(-1/2)`` is, but for a
    factor, the identity with the direction of ``v`` shortened.
    """
    v = gram @ means
    square = v @ v
    direction = v / np.sqrt(square) if square > 0 else v
    short = 1 - np.sqrt(mu / (mu + square))

    def root(x: Floats) -> Floats:
        return x - short * np.outer(direction, direction @ x)

    centered = root((gram - gram.mean(0)).T).T
    vectors = np.linalg.eigh(centered.T @ centered)[1]
    return root(vectors[:, ::-1][:, :dims])


def _unit(weights: Floats, features: Floats) -> Floats:
    """Scale columns of weights, such that components have unit variance where they vary."""
    std = (features @ weights).std(0)
    return weights / np.where(std > 1e-12, std, 1.0)


def _median(distances: Floats) -> float:
    found = float(np.median(distances[np.triu_indices(len(distances), 1)]))
    return found if found > 0 else 1.0


def _rows(observations: NDArray[Any], name: str, limit: int) -> Floats:
    found = np.asarray(observations, np.float64)
    if type(limit) is not int or limit < 2:
        raise BadArgument(f"limit is {limit!r}: give a whole number >= 2")
    if found.ndim != 2 or len(found) < 2 or not np.isfinite(found).all():
        raise BadArgument(
            f"{name} has shape {found.shape}: give at least 2 rows of finite numbers, flat"
        )
    chosen = np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int)
    return found[chosen]


def _check(dims: int, most: int, mu: float, kernel: Any) -> None:
    if kernel not in get_args(Kernel):
        raise BadArgument(f"kernel is {kernel!r}: give one of {', '.join(get_args(Kernel))}")
    if type(dims) is not int or not 1 <= dims <= most:
        raise BadArgument(f"dims is {dims!r}: give a whole number from 1 to {most}")
    if not (np.isfinite(mu) and mu > 0):
        raise BadArgument(f"mu is {mu!r}: give a finite number > 0")
