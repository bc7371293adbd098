"""Functions that numpy computes differently for arrays than Python does for scalars.

Numpy has fast paths for arrays whose last bit may differ. The scalar environments take powers of
numpy scalars, which are those of the C library, and cosines from Python's ``math``. Numpy's own
sines, cosines and remainders need no stand-in: one number goes through the loop of an array.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def scalar_square(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squares that ``x**2`` gives for scalars: those of the C library's ``pow``.

    ``x * x``, and ``x**2`` of an array, differ from them in one number of a thousand.

    Args:
        x: Of any shape.
    """
    return np.float_power(x, 2.0)


def scalar_square_single(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the same for single precision, where numpy has no function that calls ``powf``.

    Args:
        x: Shape (n,).
    """
    return np.array([number**2 for number in x], dtype=np.float32)


def scalar_cos(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosines that ``math.cos`` gives.

    Args:
        x: Finite angles, shape (n,).
    """
    return np.array([math.cos(angle) for angle in x.tolist()])
