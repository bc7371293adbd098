"""Changes of observations that are to change nothing that follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from torch import Tensor

from rltransfer.errors import RecipeError
from rltransfer.methods import Method

SHIFT = 4 / 84
"""Largest shift of an image, as a share of its width (Kostrikov et al. 2020)."""


def is_vector(space: spaces.Space) -> bool:
    """Tell whether observations are one vector of floats."""
    floats = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    return floats and len(space.shape or ()) == 1


def is_image(space: spaces.Space) -> bool:
    """Tell whether observations are one image, as bytes with the channels first."""
    return is_image_space(space) and isinstance(space, spaces.Box)


def require_vector(method: Method, space: spaces.Space) -> None:
    """Refuse observations that are no vectors.

    Raises:
        RecipeError: They are none.
    """
    if not is_vector(space):
        raise RecipeError(
            f"{type(method).__name__} changes vectors of floats a little, and observations are "
            f"{space}: drop it from the recipe"
        )


def unit(model: Any, observations: Tensor) -> Tensor:
    """What a change of 1 means for each number of an observation.

    Args:
        model: The model.
        observations: Those of a rollout, as the policy sees them, shape (N, numbers).

    Returns:
        Ones where running statistics normalize them, otherwise standard deviations; shape
        (numbers,).
    """
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None and normalizer.norm_obs:
        return torch.ones_like(observations[0])
    return observations.std(0, correction=0)


def scaled(observations: Tensor, width: float) -> Tensor:
    """Multiply each row by one factor from U(1 - width, 1 + width)."""
    draws = torch.rand(len(observations), 1, device=observations.device)
    return observations * (1 + width * (2 * draws - 1))


def shifted(images: Tensor, most: int) -> Tensor:
    """Move each image by up to so many pixels along both axes, repeating those at the border.

    Args:
        images: Shape (B, channels, height, width), of any type.
        most: Largest shift.
    """
    rows, columns = (_moved(images, axis, most) for axis in (2, 3))
    which = torch.arange(len(images), device=images.device)[:, None, None]
    # Indices apart from each other put the channels last.
    picked = images[which, :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


def _moved(images: Tensor, axis: int, most: int) -> Tensor:
    size, device = images.shape[axis], images.device
    by = torch.randint(-most, most + 1, (len(images), 1), device=device)
    return (torch.arange(size, device=device) + by).clamp(0, size - 1)
