"""What a number of noisy steps costs in privacy, by Opacus's accountant."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

from rltransfer.agents.numbers import finite, whole
from rltransfer.errors import BadArgument, MissingExtra

_ORDERS = [1 + x / 10 for x in range(1, 100)] + list(range(11, 64)) + [2**k for k in range(6, 11)]
_MOST_NOISE = 2.0**20


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """An (epsilon, delta) guarantee for trajectories, and what it was spent on.

    The probability of any outcome changes by no more than a factor of exp(epsilon), but for
    delta, when one trajectory is added to the data or taken out.

    Attributes:
        epsilon: Epsilon; ``inf`` for no privacy at all.
        delta: Delta.
        noise_multiplier: Standard deviation of the noise, in units of ``clip``.
        clip: Largest norm of what one trajectory adds to a step.
        sample_rate: Probability with which a trajectory is part of a step.
        steps: Steps.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    clip: float
    sample_rate: float
    steps: int

    def __str__(self) -> str:
        how = (
            f"{self.steps} steps of DP-SGD at sampling rate {self.sample_rate:.4g}, noise "
            f"multiplier {self.noise_multiplier:.4g} and clipping norm {self.clip:.4g}"
        )
        if math.isinf(self.epsilon):
            return f"no differential privacy ({how})"
        return (
            f"(epsilon={self.epsilon:.4g}, delta={self.delta:.4g})-differential privacy for adding "
            f"or removing one whole trajectory ({how}; Renyi accountant of Opacus)"
        )


def epsilon_of(*, noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> float:
    """Epsilon of steps with Gaussian noise on Poisson samples of the trajectories.

    Args:
        noise_multiplier: Standard deviation of the noise by the clipping norm; 0 for none.
        sample_rate: Probability with which a trajectory is part of a step, in (0, 1].
        steps: Steps, at least 1.
        delta: Delta, in (0, 1).

    Returns:
        Epsilon, an upper bound; ``inf`` without noise.

    Raises:
        MissingExtra: Opacus is not installed.
        BadArgument: An argument is outside its range.

    Source: Mironov, Talwar & Zhang 2019, "Renyi differential privacy of the sampled Gaussian
    mechanism".
    """
    sample_rate, steps, delta = _checked(sample_rate, steps, delta)
    noise_multiplier = finite("noise_multiplier", noise_multiplier)
    if noise_multiplier < 0:
        raise BadArgument(f"noise_multiplier is {noise_multiplier!r}: give a number, at least 0")
    if noise_multiplier == 0:
        return math.inf
    accountant = _accountant()
    accountant.history = [(noise_multiplier, sample_rate, steps)]
    with warnings.catch_warnings():
        # Of an order at the end of the list: the bound holds, and could be tighter.
        warnings.filterwarnings("ignore", "Optimal order is the")
        return float(accountant.get_epsilon(delta, alphas=_ORDERS))


def noise_for(*, epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """Least noise multiplier, to a thousandth, that keeps within an epsilon.

    Args:
        epsilon: Epsilon, above 0.
        sample_rate: As in :func:`epsilon_of`.
        steps: As there.
        delta: As there.

    Raises:
        MissingExtra: Opacus is not installed.
        BadArgument: An argument is outside its range, or no noise is enough.
    """
    epsilon = finite("epsilon", epsilon)
    if epsilon <= 0:
        raise BadArgument(f"epsilon is {epsilon!r}: give a positive number")

    def spent(noise: float) -> float:
        options = {"sample_rate": sample_rate, "steps": steps, "delta": delta}
        return epsilon_of(noise_multiplier=noise, **options)

    low, high = 0.0, 0.5
    while spent(high) > epsilon:
        low, high = high, 2 * high
        if high > _MOST_NOISE:
            raise BadArgument(f"epsilon is {epsilon:g}: no noise is enough for so little")
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > epsilon else (low, middle)
    return high


def _accountant() -> Any:
    try:
        from opacus.accountants import RDPAccountant
    except ImportError as error:
        raise MissingExtra.of("differential privacy", "private") from error
    return RDPAccountant()


def _checked(sample_rate: float, steps: int, delta: float) -> tuple[float, int, float]:
    sample_rate, delta = finite("sample_rate", sample_rate), finite("delta", delta)
    if not 0 < sample_rate <= 1:
        raise BadArgument(f"sample_rate is {sample_rate!r}: give a number in (0, 1]")
    if not 0 < delta < 1:
        raise BadArgument(f"delta is {delta!r}: give a number in (0, 1)")
    return sample_rate, whole("steps", steps, least=1), delta
