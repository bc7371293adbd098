"""Exploration noise that is correlated in time."""

from __future__ import annotations

import numpy as np


class CorrelatedNoise:
    """Standard normal noise whose steps are correlated, one stream for each row.

    An autoregressive process of first order, ``e(t) = c e(t-1) + sqrt(1 - c^2) w(t)``, with the
    marginal distribution of white noise ``w``. PPO computes its log probabilities as if the noise
    were white, which Hollenstein et al. 2024 ("Colored Noise in PPO", AAAI) found to explore
    better than white noise where single steps have little effect.

    Args:
        correlation: ``c``, in [0, 1).
    """

    def __init__(self, correlation: float) -> None:
        self.correlation = correlation
        self._last: np.ndarray | None = None

    def mix(self, white: np.ndarray) -> np.ndarray:
        """Turn a step of white noise, shape (rows, dims), into one of correlated noise.

        Another number of rows starts new streams.
        """
        if self._last is None or self._last.shape != white.shape:
            mixed = np.array(white, copy=True)
        else:
            fresh = np.sqrt(1 - self.correlation**2)
            mixed = (self.correlation * self._last + fresh * white).astype(white.dtype)
        self._last = mixed
        return mixed.copy()

    def reset(self) -> None:
        """Start new streams at the next step."""
        self._last = None
