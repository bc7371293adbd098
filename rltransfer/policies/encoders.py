"""Encoders: from a task's own observation to features of one width for all tasks.

Each reads the packed numbers of its task, shape (n, size), and gives (n, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor, nn

from rltransfer.errors import BadArgument
from rltransfer.policies.packing import flat_size

# Values of MiniGrid's cells are small whole numbers; dividing them by this keeps them near one.
GRID_SCALE = 10.0
# The convolutions of NatureCNN leave nothing of smaller images.
IMAGE_SIDE = 36


class VectorEncoder(nn.Sequential):
    """One linear layer and an activation, for plain vectors.

    Args:
        size: Numbers of an observation.
        width: Features.
        activation_fn: Class of the activation.
    """

    def __init__(self, size: int, width: int, activation_fn: type[nn.Module]) -> None:
        super().__init__(nn.Linear(size, width), activation_fn())


class ClassEncoder(nn.Module):
    """One-hot codes of whole numbers, then one linear layer and an activation.

    Args:
        counts: How many values each number of the observation may have.
        width: Features.
        activation_fn: Class of the activation.
    """

    def __init__(self, counts: Sequence[int], width: int, activation_fn: type[nn.Module]) -> None:
        super().__init__()
        self.counts = [int(count) for count in counts]
        self.linear = nn.Linear(sum(self.counts), width)
        self.activation = activation_fn()

    def forward(self, numbers: Tensor) -> Tensor:
        """Encode numbers, shape (n, len(counts))."""
        codes = [
            nn.functional.one_hot(column.long(), count)
            for column, count in zip(numbers.unbind(1), self.counts, strict=True)
        ]
        return self.activation(self.linear(torch.cat(codes, dim=1).to(numbers.dtype)))


class ImageEncoder(nn.Module):
    """The convolutions of Mnih et al. 2015 (SB3's ``NatureCNN``), for images of 36x36 or more.

    Args:
        space: Images with 8 bits a value, channels first or last.
        width: Features.
    """

    def __init__(self, space: spaces.Box, width: int) -> None:
        super().__init__()
        self.shape = tuple(space.shape)
        self.channels_last = not is_image_space_channels_first(space)
        shape = (self.shape[2], *self.shape[:2]) if self.channels_last else self.shape
        turned = spaces.Box(0, 255, shape, np.uint8)
        self.convolutions = NatureCNN(turned, features_dim=width)

    def forward(self, numbers: Tensor) -> Tensor:
        """Encode images, shape (n, values from 0 to 255)."""
        images = numbers.reshape(-1, *self.shape) / 255.0
        return self.convolutions(images.permute(0, 3, 1, 2) if self.channels_last else images)


class GridEncoder(nn.Module):
    """Convolutions for small grids such as MiniGrid's view of 7x7 cells (Hendawy et al. 2024).

    Three layers of 2x2 with 16, 32 and 64 channels, then a linear layer.

    Args:
        shape: Height, width and channels; each side at least 4.
        width: Features.
        activation_fn: Class of the activation behind the linear layer.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, activation_fn: type[nn.Module]
    ) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        for before, after in pairwise([shape[2], 16, 32, 64]):
            layers += [nn.Conv2d(before, after, 2), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear((shape[0] - 3) * (shape[1] - 3) * 64, width)
        self.activation = activation_fn()

    def forward(self, numbers: Tensor) -> Tensor:
        """Encode grids, shape (n, height * width * channels)."""
        grids = numbers.reshape(-1, *self.shape).permute(0, 3, 1, 2) / GRID_SCALE
        return self.activation(self.linear(self.convolutions(grids).flatten(1)))


class DictEncoder(nn.Module):
    """One encoder for each part of a Dict observation, joined by a linear layer.

    Args:
        space: The Dict.
        width: Features.
        activation_fn: Class of the activation.
    """

    def __init__(self, space: spaces.Dict, width: int, activation_fn: type[nn.Module]) -> None:
        super().__init__()
        self.sizes = [flat_size(part) for part in space.spaces.values()]
        self.parts = nn.ModuleList(
            make_encoder(part, width, activation_fn) for part in space.spaces.values()
        )
        self.linear = nn.Linear(width * len(self.parts), width)
        self.activation = activation_fn()

    def forward(self, numbers: Tensor) -> Tensor:
        """Encode the parts, which lie behind each other in the order of the space."""
        given = torch.split(numbers, self.sizes, dim=1)
        features = [part(values) for part, values in zip(self.parts, given, strict=True)]
        return self.activation(self.linear(torch.cat(features, dim=1)))


def make_encoder(
    space: gym.Space, width: int, activation_fn: type[nn.Module], *, kind: str = "auto"
) -> nn.Module:
    """Make the encoder that fits a space.

    Args:
        space: Space of one observation.
        width: Features.
        activation_fn: Class of its activations.
        kind: ``"auto"``, or ``"grid"`` for :class:`GridEncoder` with a view of height x width x 3,
            flattened or not. Images of less than 36x36, too small for
            :class:`ImageEncoder`, get it anyway.

    Raises:
        BadArgument: ``kind`` is ``"grid"``, and the space is none.
    """
    given: Any = space
    if kind == "grid":
        return GridEncoder(_grid_shape(given), width, activation_fn)
    if isinstance(space, spaces.Dict):
        return DictEncoder(space, width, activation_fn)
    if isinstance(space, spaces.Discrete):
        return ClassEncoder([int(space.n)], width, activation_fn)
    if isinstance(space, spaces.MultiDiscrete):
        return ClassEncoder(space.nvec.ravel().tolist(), width, activation_fn)
    if isinstance(space, spaces.Box) and is_image_space(space):
        if _is_small(space):
            return GridEncoder(_grid_shape(given), width, activation_fn)
        return ImageEncoder(space, width)
    return VectorEncoder(flat_size(space), width, activation_fn)


def is_vector(space: gym.Space) -> bool:
    """Whether observations are plain vectors, which running statistics may normalize."""
    return isinstance(space, spaces.Box | spaces.MultiBinary) and not is_image_space(space)


def _is_small(space: spaces.Box) -> bool:
    sides = list(space.shape[:2])
    return not is_image_space_channels_first(space) and 4 <= min(sides) < IMAGE_SIDE


def _grid_shape(space: Any) -> tuple[int, int, int]:
    shape: Any = space.shape or ()
    if len(shape) == 3 and min(shape[:2]) >= 4:
        return shape
    side = int(np.sqrt(shape[0] // 3)) if len(shape) == 1 else 0
    if side < 4 or side * side * 3 != shape[0]:
        raise BadArgument(
            f"encoder_kind='grid' reads height x width x 3 cells, or a square of them flattened, "
            f"and a task observes {space}: use encoder_kind='auto'"
        )
    return side, side, 3
