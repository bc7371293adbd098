"""Statistics that normalize observations and rewards, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rltransfer.errors import BadArgument


@dataclass(frozen=True, kw_only=True, eq=False)
class RunningStats:
    """Mean and variance of a stream of samples.

    Attributes:
        mean: Mean of each element, float64, any shape.
        var: Variance of each element, float64, the shape of ``mean``, at least 0.
        count: Number of samples seen (Stable-Baselines3 starts at 1e-4), at least 0.
    """

    mean: np.ndarray
    var: np.ndarray
    count: float

    def __post_init__(self) -> None:
        for name in ("mean", "var"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "count", float(self.count))
        if self.mean.shape != self.var.shape:
            raise BadArgument(
                f"running mean has shape {self.mean.shape} but variance has {self.var.shape}: "
                "give both the shape of one sample"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.var).all()):
            raise BadArgument("running mean or variance holds NaN or inf: reset the statistics")
        if (self.var < 0).any() or not 0 <= self.count < np.inf:
            raise BadArgument(
                "running variance and count must be at least 0, "
                f"got variance {self.var.min(initial=0.0):g} and count {self.count:g}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.mean.shape


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalization:
    """What a Stable-Baselines3 ``VecNormalize`` does to observations and rewards.

    An observation becomes ``clip((x - mean) / sqrt(var + epsilon), -clip_obs, clip_obs)``. A reward
    is divided by the standard deviation of the discounted return, and clipped.

    Attributes:
        obs: Whether observations are normalized.
        reward: Whether rewards are normalized.
        clip_obs: Largest absolute normalized observation, positive.
        clip_reward: Largest absolute normalized reward, positive.
        gamma: Discount of the return whose variance scales the rewards, 0 to 1.
        epsilon: Added to variances before the square root, positive.
        obs_stats: Statistics of the observations; for a Dict space one per normalized key; None
            for none yet.
        return_stats: Statistics of the discounted return (a scalar), or None for none yet.
    """

    obs: bool
    reward: bool
    clip_obs: float = 10.0
    clip_reward: float = 10.0
    gamma: float = 0.99
    epsilon: float = 1e-8
    obs_stats: RunningStats | dict[str, RunningStats] | None = None
    return_stats: RunningStats | None = None

    def __post_init__(self) -> None:
        for name in ("clip_obs", "clip_reward", "epsilon"):
            value = getattr(self, name)
            if not 0 < value < np.inf:  # JSON has no infinity
                raise BadArgument(
                    f"normalization {name}={value!r}: expected a positive finite number"
                )
        if not 0 <= self.gamma <= 1:
            raise BadArgument(f"normalization gamma={self.gamma!r}: expected a number from 0 to 1")
        if self.return_stats is not None and self.return_stats.shape != ():
            raise BadArgument(
                f"return statistics have shape {self.return_stats.shape}: expected one scalar"
            )
