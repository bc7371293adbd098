"""One task's way through a multi-task policy, as a features extractor of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecTransposeImage
from torch import Tensor, nn

from rltransfer.errors import SpaceMismatch
from rltransfer.policies.encoders import make_encoder
from rltransfer.policies.trunks import make_trunk


class TaskFeatures(BaseFeaturesExtractor):
    """Encoder and trunk of one task; the policy around it has the task's heads.

    What tells the trunk its task is a constant here. For a policy with ``normalize_images=False``:
    encoders of images scale them themselves.

    Args:
        observation_space: What the policy sees: :func:`seen` of ``space``, with any bounds.
        space: What the task observes, before SB3 transposes images.
        width: Features of the encoder.
        encoder_kind: ``"auto"`` or ``"grid"``.
        trunk: Kind of the trunk; see :mod:`rltransfer.policies.trunks`.
        trunk_kwargs: Its options.
        context_features: Numbers that tell the trunk its task; 0 for none.
        activation_fn: Class of the activations.

    Raises:
        SpaceMismatch: The policy sees something else than the task observes.
        BadArgument: An option is outside its range.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        *,
        space: gym.Space,
        width: int = 64,
        encoder_kind: str = "auto",
        trunk: str = "mlp",
        trunk_kwargs: Mapping[str, Any] | None = None,
        context_features: int = 0,
        activation_fn: type[nn.Module] = nn.Tanh,
    ) -> None:
        if not _alike(seen(space), seen(observation_space)):
            raise SpaceMismatch(
                f"the features are of a task that observes {space}, and the policy sees "
                f"{observation_space}: reset its layers, or take a task with the same observations"
            )
        encoder = make_encoder(space, width, activation_fn, kind=encoder_kind)
        options = trunk_kwargs or {}
        layers = make_trunk(trunk, width, context_features, activation_fn=activation_fn, **options)
        super().__init__(observation_space, layers.out_features)
        self.space = space
        self.encoder = encoder
        self.trunk = layers
        self.context = Constant(context_features)

    def forward(self, observations: Any) -> Tensor:
        """Compute the features of preprocessed observations, shape (n, ...) or a dict of such."""
        numbers = _numbers(self.space, observations, next(self.parameters()).dtype)
        features = self.encoder(numbers)
        return self.trunk(features, self.context(len(features)))


class Constant(nn.Module):
    """The same numbers for every row.

    Args:
        size: How many; 0 for none at all.
    """

    value: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        if size:
            self.register_buffer("value", torch.zeros(size))
        self.size = size

    def forward(self, rows: int) -> Tensor | None:
        """Shape (rows, size)."""
        return self.value.expand(rows, -1) if self.size else None


def seen(space: gym.Space) -> gym.Space:
    """What a policy of SB3 sees of a space: images have their channels first."""
    if isinstance(space, spaces.Dict):
        parts = [(key, seen(part)) for key, part in space.spaces.items()]
        return spaces.Dict(parts, sort_keys=space.sort_keys)
    return VecTransposeImage.transpose_space(space) if _channels_last(space) else space  # pyright: ignore[reportArgumentType]


def _alike(first: Any, second: Any) -> bool:
    """Whether the same layers read both spaces; bounds of Boxes do not matter."""
    if isinstance(first, spaces.Dict) and isinstance(second, spaces.Dict):
        parts = [(part, second.spaces.get(key)) for key, part in first.spaces.items()]
        return len(first.spaces) == len(second.spaces) and all(_alike(*pair) for pair in parts)
    if isinstance(first, spaces.Box) and isinstance(second, spaces.Box):
        return first.shape == second.shape
    return first == second


def _channels_last(space: gym.Space) -> bool:
    return is_image_space(space) and not is_image_space_channels_first(space)  # pyright: ignore[reportArgumentType]


def _numbers(space: Any, given: Any, dtype: torch.dtype) -> Tensor:
    """Undo what SB3 does to observations in front of an extractor; shape (n, size)."""
    if isinstance(space, spaces.Dict):
        parts = [_numbers(part, given[key], dtype) for key, part in space.spaces.items()]
        return torch.cat(parts, dim=1)
    if isinstance(space, spaces.Discrete):
        return given.flatten(1).argmax(1, keepdim=True).to(dtype)
    if isinstance(space, spaces.MultiDiscrete):
        codes = torch.split(given.flatten(1), space.nvec.ravel().tolist(), dim=1)
        return torch.stack([code.argmax(1) for code in codes], dim=1).to(dtype)
    turned = given.permute(0, 2, 3, 1) if _channels_last(space) else given
    return turned.flatten(1).to(dtype)
